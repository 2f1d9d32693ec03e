package clustermesh

import (
	"net/netip"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tombolo.io/tombolo/clustermesh/meshpb"
)

// This file turns objects into their wire form; read.go is its mirror image.

func writeAddrs(in []netip.Addr) [][]byte {
	return each(in, netip.Addr.AsSlice)
}

func writePrefixes(in []netip.Prefix) []*meshpb.Prefix {
	return each(in, func(p netip.Prefix) *meshpb.Prefix {
		return &meshpb.Prefix{Address: p.Addr().AsSlice(), Bits: uint32(p.Bits())}
	})
}

func writeTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func writeDuration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// each applies f to every element; nothing gives nil.
func each[A, B any](in []A, f func(A) B) []B {
	if len(in) == 0 {
		return nil
	}
	out := make([]B, len(in))
	for i, a := range in {
		out[i] = f(a)
	}
	return out
}

func (c *Cluster) message() proto.Message { return writeCluster(c) }

func writeCluster(c *Cluster) *meshpb.Cluster {
	return &meshpb.Cluster{
		Name:         c.Name,
		Id:           uint32(c.ID),
		PodCidrs:     writePrefixes(c.PodCIDRs),
		NodeCidrs:    writePrefixes(c.NodeCIDRs),
		ServiceCidrs: writePrefixes(c.ServiceCIDRs),
		Capabilities: c.Capabilities,
		Peers:        c.Peers,
		Seal:         c.Seal,
	}
}

func (l *Lease) message() proto.Message { return &meshpb.Lease{Holder: l.Holder, Reign: l.Reign} }

func (o *Origin) message() proto.Message { return &meshpb.Origin{Uid: o.UID} }

func (s *Seal) message() proto.Message { return &meshpb.Seal{Seed: s.Seed} }

func (n *Node) message() proto.Message {
	return &meshpb.Node{
		Name:          n.Name,
		Addresses:     writeAddrs(n.Addresses),
		PodCidrs:      writePrefixes(n.PodCIDRs),
		Zone:          n.Zone,
		Labels:        n.Labels,
		GossipAddress: n.Gossip.Addr().AsSlice(),
		GossipPort:    uint32(n.Gossip.Port()),
		BootId:        n.BootID,
		Draining:      n.Draining,
	}
}

func (s *Service) message() proto.Message { return writeService(s) }

func writeService(s *Service) *meshpb.Service {
	return &meshpb.Service{
		Namespace:           s.Name.Namespace,
		Name:                s.Name.Name,
		Type:                meshpb.ServiceType(s.Type),
		Ports:               each(s.Ports, writeServicePort),
		ClusterIps:          writeAddrs(s.ClusterIPs),
		LoadBalancerIps:     writeAddrs(s.LoadBalancerIPs),
		LoadBalancerClass:   s.LoadBalancerClass,
		LoadBalancerOthers:  s.LoadBalancerOthers,
		SourceRanges:        writePrefixes(s.SourceRanges),
		ExternalIps:         writeAddrs(s.ExternalIPs),
		HealthCheckNodePort: uint32(s.HealthCheckNodePort),
		ExternalPolicy:      meshpb.TrafficPolicy(s.ExternalPolicy),
		InternalPolicy:      meshpb.TrafficPolicy(s.InternalPolicy),
		Global:              s.Global,
		Shared:              s.Shared,
		Affinity:            meshpb.Affinity(s.Affinity),
		Priority:            uint32(s.Priority),
		Weight:              uint32(s.Weight),
		SessionAffinity:     writeDuration(s.SessionAffinity),
		PublishNotReady:     s.PublishNotReady,
		Distribution:        meshpb.Distribution(s.Distribution),
		Overprovisioning:    uint32(s.Overprovisioning),
		Outliers:            writeOutliers(s.Outliers),
		Request:             writeRequest(&s.Request),
		TableSize:           s.TableSize,
		Labels:              s.Labels,
		Created:             writeTime(s.Created),
		Headless:            s.Headless,
	}
}

func (e *ServiceExport) message() proto.Message {
	return &meshpb.ServiceExport{
		Service: writeService(&e.Service), Created: writeTime(e.Created),
		Labels: e.Labels, Annotations: e.Annotations, Families: uint32(e.Families),
	}
}

func (i *ServiceImport) message() proto.Message {
	return &meshpb.ServiceImport{Service: writeService(&i.Service), Clusters: i.Clusters}
}

func writeOutliers(o OutlierDetection) *meshpb.OutlierDetection {
	if !o.On() {
		return nil
	}
	return &meshpb.OutlierDetection{
		ConsecutiveFailures: uint32(o.ConsecutiveFailures),
		BaseEjectionTime:    writeDuration(o.BaseEjectionTime),
		MaxEjectionTime:     writeDuration(o.MaxEjectionTime),
		MaxEjectionPercent:  uint32(o.MaxEjectionPercent),
	}
}

func writeRequest(r *AddressRequest) *meshpb.AddressRequest {
	if r.isZero() {
		return nil
	}
	return &meshpb.AddressRequest{
		Addresses: writeAddrs(r.Addresses), Families: uint32(r.Families), Required: r.Required,
		SharingKey: r.SharingKey, SharingNamespaces: r.SharingNamespaces,
	}
}

func (p *Pool) message() proto.Message {
	return &meshpb.Pool{
		Name: p.Name, Created: writeTime(p.Created),
		Ranges: each(p.Ranges, func(r AddrRange) *meshpb.AddrRange {
			return &meshpb.AddrRange{First: r.First.AsSlice(), Last: r.Last.AsSlice()}
		}),
		ServiceSelector: writeSelector(p.ServiceSelector), NamespaceSelector: writeSelector(p.NamespaceSelector),
		AvoidBuggy: p.AvoidBuggy, AutoAssign: p.AutoAssign, Scope: meshpb.PoolScope(p.Scope),
	}
}

func (a *Address) message() proto.Message {
	return &meshpb.Address{
		Address: a.Address.AsSlice(), Pool: a.Pool, Claims: each(a.Claims, writeClaim),
		Released: writeTime(a.Released), LastNamespace: a.Last.Namespace, LastName: a.Last.Name,
	}
}

func writeClaim(a AddressClaim) *meshpb.AddressClaim {
	return &meshpb.AddressClaim{
		Namespace: a.Service.Namespace, Name: a.Service.Name, Since: writeTime(a.Since), Created: writeTime(a.Created),
		Holds: a.Holds, Named: a.Named,
		SharingKey: a.SharingKey, SharingNamespaces: a.SharingNamespaces, Exclusive: a.Exclusive,
		Ports: each(a.Ports, func(p ClaimedPort) *meshpb.ClaimedPort {
			return &meshpb.ClaimedPort{Protocol: uint32(p.Protocol), Port: uint32(p.Port)}
		}),
	}
}

func writeServicePort(p ServicePort) *meshpb.ServicePort {
	return &meshpb.ServicePort{Name: p.Name, Protocol: uint32(p.Protocol), Port: uint32(p.Port), NodePort: uint32(p.NodePort), AppProtocol: p.AppProtocol}
}

func (s *EndpointSlice) message() proto.Message {
	return &meshpb.EndpointSlice{
		Namespace: s.Service.Namespace,
		Service:   s.Service.Name,
		Name:      s.Name,
		Ports: each(s.Ports, func(p EndpointPort) *meshpb.EndpointPort {
			return &meshpb.EndpointPort{Name: p.Name, Protocol: uint32(p.Protocol), Port: uint32(p.Port)}
		}),
		Endpoints: each(s.Endpoints, func(e Endpoint) *meshpb.Endpoint {
			return &meshpb.Endpoint{
				Address: e.Address.AsSlice(), PodUid: e.PodUID, Node: e.Node, Zone: e.Zone,
				Ready: e.Ready, Serving: e.Serving, Terminating: e.Terminating, Hostname: e.Hostname,
			}
		}),
	}
}

func (i *Identity) message() proto.Message { return writeIdentity(*i) }

func writeIdentity(i Identity) *meshpb.Identity {
	return &meshpb.Identity{Id: uint32(i.ID), Labels: i.Labels}
}

func (e *EndpointIdentity) message() proto.Message {
	return &meshpb.EndpointIdentity{
		Address: e.Address.AsSlice(), Identity: uint32(e.Identity), PodUid: e.PodUID, Node: e.Node, Pod: e.Pod,
	}
}

func (s *Synced) message() proto.Message {
	return &meshpb.Synced{Source: s.Source, Epoch: s.Epoch, Count: int64(s.Count)}
}

func (m *MirrorState) message() proto.Message {
	out := &meshpb.MirrorState{
		Phase: string(m.Phase), Reason: m.Reason, Epoch: m.Epoch, Revision: m.Revision, Since: writeTime(m.Since),
	}
	if m.Cluster.Name != "" {
		out.Cluster = writeCluster(&m.Cluster)
	}
	return out
}

func (p *ProcessStatus) message() proto.Message {
	return &meshpb.ProcessStatus{
		Role: p.Role, Node: p.Node, Version: p.Version, Started: writeTime(p.Started),
		Health: string(p.Health), Reasons: p.Reasons,
		Epoch: p.Epoch, Identities: each(p.Identities, writeIdentity),
		GossipKeys: p.GossipKeys, Drains: each(p.Drains, writeDrainCount),
		Sessions: each(p.Sessions, func(s BGPSession) *meshpb.BGPSession {
			return &meshpb.BGPSession{Peer: s.Peer, State: s.State, Established: s.Established, Reason: s.Reason}
		}),
	}
}

func (p *Peer) message() proto.Message {
	return &meshpb.Peer{
		Name: p.Name, Endpoints: p.Endpoints, CaFile: p.TLS.CA, CertFile: p.TLS.Cert, KeyFile: p.TLS.Key,
	}
}

func (p *BGPPeer) message() proto.Message {
	return &meshpb.BGPPeer{
		Name:         p.Name,
		Address:      p.Address.AsSlice(),
		Port:         uint32(p.Port),
		Asn:          p.ASN,
		LocalAsn:     p.LocalASN,
		Interface:    p.Interface,
		HoldTime:     writeDuration(p.HoldTime),
		Keepalive:    writeDuration(p.Keepalive),
		ConnectRetry: writeDuration(p.ConnectRetry),
		RestartTime:  writeDuration(p.RestartTime),
		PasswordFile: p.PasswordFile,
		Multihop:     uint32(p.Multihop),
		NodeSelector: writeSelector(p.NodeSelector),
		Families:     each(p.Families, func(f Family) meshpb.Family { return meshpb.Family(f) }),
	}
}

func (a *BGPAdvertisement) message() proto.Message {
	return &meshpb.BGPAdvertisement{
		Name:            a.Name,
		PodCidrs:        a.PodCIDRs,
		LoadBalancerIps: a.LoadBalancerIPs,
		ServiceSelector: writeSelector(a.ServiceSelector),
		Peers:           a.Peers,
		NodeSelector:    writeSelector(a.NodeSelector),
		Communities:     a.Communities,
		LocalPref:       a.LocalPref,
	}
}

func writeSelector(s Selector) *meshpb.Selector {
	if len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		return nil
	}
	return &meshpb.Selector{
		MatchLabels: s.MatchLabels,
		MatchExpressions: each(s.MatchExpressions, func(r Requirement) *meshpb.Requirement {
			return &meshpb.Requirement{Key: r.Key, Operator: string(r.Operator), Values: r.Values}
		}),
	}
}

func (d *Drain) message() proto.Message {
	return &meshpb.Drain{
		What: string(d.What), Name: d.Name, Moved: uint32(d.Moved), Since: writeTime(d.Since),
		Deadline: writeTime(d.Deadline), Ended: d.Ended, Returning: writeTime(d.Returning), Over: writeDuration(d.Over),
		Reason: d.Reason,
	}
}

func writeDrainCount(n DrainCount) *meshpb.DrainCount {
	return &meshpb.DrainCount{Cluster: n.Cluster, What: string(n.What), Name: n.Name, Connections: n.Connections}
}

func (k *Keyring) message() proto.Message {
	return &meshpb.Keyring{Use: uint32(k.Use), Keys: each(k.Keys, func(g GossipKey) *meshpb.GossipKey {
		return &meshpb.GossipKey{Secret: g.Secret[:], Since: writeTime(g.Since)}
	})}
}

func (r *CheckRequest) message() proto.Message { return &meshpb.CheckRequest{Id: r.ID} }

func (a *CheckAnswer) message() proto.Message {
	return &meshpb.CheckAnswer{
		Node: a.Node, Requests: a.Requests, Version: a.Version, Kernel: a.Kernel,
		Paths: each(a.Paths, writeCheckPath), Findings: each(a.Findings, writeFinding), More: int32(a.More),
	}
}

func writeCheckPath(p CheckPath) *meshpb.CheckPath {
	return &meshpb.CheckPath{
		Cluster: p.Cluster, Family: p.Family, Nodes: int32(p.Nodes), Checked: int32(p.Checked), Address: int32(p.Address),
		Pods: int32(p.Pods), Back: int32(p.Back), Kept: int32(p.Kept), Mtu: int32(p.MTU),
		Rtt: writeDuration(p.RTT), Clock: writeDuration(p.Clock),
	}
}

func writeFinding(f Finding) *meshpb.Finding {
	return &meshpb.Finding{
		Level: string(f.Level), Code: f.Code, Cluster: f.Cluster, Node: f.Node, Family: f.Family, Problem: f.Problem, Mend: f.Mend,
	}
}
