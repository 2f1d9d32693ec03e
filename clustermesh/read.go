package clustermesh

import (
	"net/netip"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tombolo.io/tombolo/clustermesh/meshpb"
)

// This file turns the wire form into objects. It refuses only what an object
// could not hold; the rest is the business of Object.check.

// readAddr returns the zero Addr, which check refuses, for bytes that are no address.
func readAddr(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

func readPrefix(p *meshpb.Prefix) netip.Prefix {
	return netip.PrefixFrom(readAddr(p.GetAddress()), int(p.GetBits()))
}

func readTime(c *checker, field string, t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	if err := t.CheckValid(); err != nil {
		c.fail(field, t, "is no time: %v", err)
	}
	return t.AsTime()
}

func readDuration(c *checker, field string, d *durationpb.Duration) time.Duration {
	if d == nil {
		return 0
	}
	out := d.AsDuration()
	if err := d.CheckValid(); err != nil {
		c.fail(field, d, "is no duration: %v", err)
	} else if durationpb.New(out).GetSeconds() != d.GetSeconds() {
		c.fail(field, d, "is too long")
	}
	return out
}

// narrow returns v in the type of its field, and reports it when it does not fit.
func narrow[T ~uint8 | ~uint16, V ~uint32 | ~int32](c *checker, field string, v V) T {
	if V(T(v)) != v {
		c.fail(field, v, "is out of range")
	}
	return T(v)
}

func readCluster(c *checker, m *meshpb.Cluster) *Cluster {
	return &Cluster{
		Name:         m.GetName(),
		ID:           narrow[uint16](c, "id", m.GetId()),
		PodCIDRs:     each(m.GetPodCidrs(), readPrefix),
		NodeCIDRs:    each(m.GetNodeCidrs(), readPrefix),
		ServiceCIDRs: each(m.GetServiceCidrs(), readPrefix),
		Capabilities: m.GetCapabilities(),
		Peers:        m.GetPeers(),
		Seal:         m.GetSeal(),
	}
}

func readLease(_ *checker, m *meshpb.Lease) *Lease {
	return &Lease{Holder: m.GetHolder(), Reign: m.GetReign()}
}

func readOrigin(_ *checker, m *meshpb.Origin) *Origin { return &Origin{UID: m.GetUid()} }

func readSeal(_ *checker, m *meshpb.Seal) *Seal { return &Seal{Seed: m.GetSeed()} }

func readNode(c *checker, m *meshpb.Node) *Node {
	return &Node{
		Name:      m.GetName(),
		Addresses: each(m.GetAddresses(), readAddr),
		PodCIDRs:  each(m.GetPodCidrs(), readPrefix),
		Zone:      m.GetZone(),
		Labels:    m.GetLabels(),
		Gossip:    netip.AddrPortFrom(readAddr(m.GetGossipAddress()), narrow[uint16](c, "gossip port", m.GetGossipPort())),
		BootID:    m.GetBootId(),
		Draining:  m.GetDraining(),
	}
}

func readService(c *checker, m *meshpb.Service) *Service {
	s := &Service{
		Name:                ServiceName{m.GetNamespace(), m.GetName()},
		Type:                narrow[ServiceType](c, "type", m.GetType()),
		ClusterIPs:          each(m.GetClusterIps(), readAddr),
		LoadBalancerIPs:     each(m.GetLoadBalancerIps(), readAddr),
		LoadBalancerClass:   m.GetLoadBalancerClass(),
		LoadBalancerOthers:  m.GetLoadBalancerOthers(),
		SourceRanges:        each(m.GetSourceRanges(), readPrefix),
		ExternalIPs:         each(m.GetExternalIps(), readAddr),
		HealthCheckNodePort: narrow[uint16](c, "health check node port", m.GetHealthCheckNodePort()),
		ExternalPolicy:      narrow[TrafficPolicy](c, "external policy", m.GetExternalPolicy()),
		InternalPolicy:      narrow[TrafficPolicy](c, "internal policy", m.GetInternalPolicy()),
		Global:              m.GetGlobal(),
		Shared:              m.GetShared(),
		Affinity:            narrow[Affinity](c, "affinity", m.GetAffinity()),
		Priority:            narrow[uint8](c, "priority", m.GetPriority()),
		Weight:              narrow[uint16](c, "weight", m.GetWeight()),
		SessionAffinity:     readDuration(c, "session affinity", m.GetSessionAffinity()),
		PublishNotReady:     m.GetPublishNotReady(),
		Distribution:        narrow[Distribution](c, "distribution", m.GetDistribution()),
		Overprovisioning:    narrow[uint16](c, "overprovisioning", m.GetOverprovisioning()),
		TableSize:           m.GetTableSize(),
		Labels:              m.GetLabels(),
		Created:             readTime(c, "created", m.GetCreated()),
		Headless:            m.GetHeadless(),
	}
	if o := m.GetOutliers(); o != nil {
		c.enter("outliers", -1)
		s.Outliers = OutlierDetection{
			ConsecutiveFailures: narrow[uint16](c, "consecutive failures", o.GetConsecutiveFailures()),
			BaseEjectionTime:    readDuration(c, "base ejection time", o.GetBaseEjectionTime()),
			MaxEjectionTime:     readDuration(c, "max ejection time", o.GetMaxEjectionTime()),
			MaxEjectionPercent:  narrow[uint8](c, "max ejection percent", o.GetMaxEjectionPercent()),
		}
		c.leave()
	}
	if r := m.GetRequest(); r != nil {
		c.enter("request", -1)
		s.Request = AddressRequest{
			Addresses: each(r.GetAddresses(), readAddr), Families: narrow[Families](c, "families", r.GetFamilies()), Required: r.GetRequired(),
			SharingKey: r.GetSharingKey(), SharingNamespaces: r.GetSharingNamespaces(),
		}
		c.leave()
	}
	for i, p := range m.GetPorts() {
		c.enter("ports", i)
		s.Ports = append(s.Ports, ServicePort{
			Name:     p.GetName(),
			Protocol: narrow[Protocol](c, "protocol", p.GetProtocol()),
			Port:     narrow[uint16](c, "port", p.GetPort()),
			NodePort: narrow[uint16](c, "node port", p.GetNodePort()),

			AppProtocol: p.GetAppProtocol(),
		})
		c.leave()
	}
	return s
}

func readExport(c *checker, m *meshpb.ServiceExport) *ServiceExport {
	e := &ServiceExport{
		Created: readTime(c, "created", m.GetCreated()), Labels: m.GetLabels(), Annotations: m.GetAnnotations(),
		Families: narrow[Families](c, "families", m.GetFamilies()),
	}
	c.enter("service", -1)
	e.Service = *readService(c, m.GetService())
	c.leave()
	return e
}

func readImport(c *checker, m *meshpb.ServiceImport) *ServiceImport {
	i := &ServiceImport{Clusters: m.GetClusters()}
	c.enter("service", -1)
	i.Service = *readService(c, m.GetService())
	c.leave()
	return i
}

func readPool(c *checker, m *meshpb.Pool) *Pool {
	return &Pool{
		Name: m.GetName(), Created: readTime(c, "created", m.GetCreated()),
		Ranges: each(m.GetRanges(), func(r *meshpb.AddrRange) AddrRange {
			return AddrRange{First: readAddr(r.GetFirst()), Last: readAddr(r.GetLast())}
		}),
		ServiceSelector: readSelector(m.GetServiceSelector()), NamespaceSelector: readSelector(m.GetNamespaceSelector()),
		AvoidBuggy: m.GetAvoidBuggy(), AutoAssign: m.GetAutoAssign(), Scope: narrow[PoolScope](c, "scope", m.GetScope()),
	}
}

func readAddress(c *checker, m *meshpb.Address) *Address {
	a := &Address{
		Address: readAddr(m.GetAddress()), Pool: m.GetPool(),
		Released: readTime(c, "released", m.GetReleased()), Last: ServiceName{m.GetLastNamespace(), m.GetLastName()},
	}
	for i, p := range m.GetClaims() {
		c.enter("claims", i)
		a.Claims = append(a.Claims, AddressClaim{
			Service: ServiceName{p.GetNamespace(), p.GetName()},
			Since:   readTime(c, "since", p.GetSince()), Created: readTime(c, "created", p.GetCreated()),
			Holds: p.GetHolds(), Named: p.GetNamed(),
			SharingKey: p.GetSharingKey(), SharingNamespaces: p.GetSharingNamespaces(), Exclusive: p.GetExclusive(),
			Ports: each(p.GetPorts(), func(p *meshpb.ClaimedPort) ClaimedPort {
				return ClaimedPort{Protocol: narrow[Protocol](c, "protocol", p.GetProtocol()), Port: narrow[uint16](c, "port", p.GetPort())}
			}),
		})
		c.leave()
	}
	return a
}

func readSlice(c *checker, m *meshpb.EndpointSlice) *EndpointSlice {
	s := &EndpointSlice{
		Service: ServiceName{m.GetNamespace(), m.GetService()},
		Name:    m.GetName(),
		Endpoints: each(m.GetEndpoints(), func(e *meshpb.Endpoint) Endpoint {
			return Endpoint{
				Address: readAddr(e.GetAddress()), PodUID: e.GetPodUid(), Node: e.GetNode(), Zone: e.GetZone(),
				Ready: e.GetReady(), Serving: e.GetServing(), Terminating: e.GetTerminating(), Hostname: e.GetHostname(),
			}
		}),
	}
	for i, p := range m.GetPorts() {
		c.enter("ports", i)
		s.Ports = append(s.Ports, EndpointPort{
			Name:     p.GetName(),
			Protocol: narrow[Protocol](c, "protocol", p.GetProtocol()),
			Port:     narrow[uint16](c, "port", p.GetPort()),
		})
		c.leave()
	}
	return s
}

func readIdentity(_ *checker, m *meshpb.Identity) *Identity {
	return &Identity{ID: IdentityID(m.GetId()), Labels: m.GetLabels()}
}

func readEndpointIdentity(_ *checker, m *meshpb.EndpointIdentity) *EndpointIdentity {
	return &EndpointIdentity{
		Address: readAddr(m.GetAddress()), Identity: IdentityID(m.GetIdentity()),
		PodUID: m.GetPodUid(), Node: m.GetNode(), Pod: m.GetPod(),
	}
}

func readSynced(_ *checker, m *meshpb.Synced) *Synced {
	return &Synced{Source: m.GetSource(), Epoch: m.GetEpoch(), Count: int(m.GetCount())}
}

func readMirrorState(c *checker, m *meshpb.MirrorState) *MirrorState {
	s := &MirrorState{
		Phase: MirrorPhase(m.GetPhase()), Reason: m.GetReason(), Epoch: m.GetEpoch(), Revision: m.GetRevision(),
		Since: readTime(c, "since", m.GetSince()),
	}
	if m.GetCluster() != nil {
		c.enter("cluster", -1)
		s.Cluster = *readCluster(c, m.GetCluster())
		c.leave()
	}
	return s
}

func readProcess(c *checker, m *meshpb.ProcessStatus) *ProcessStatus {
	return &ProcessStatus{
		Role: m.GetRole(), Node: m.GetNode(), Version: m.GetVersion(), Started: readTime(c, "started", m.GetStarted()),
		Health: Health(m.GetHealth()), Reasons: m.GetReasons(),
		Epoch: m.GetEpoch(), Identities: each(m.GetIdentities(), func(i *meshpb.Identity) Identity { return *readIdentity(c, i) }),
		GossipKeys: m.GetGossipKeys(),
		Drains: each(m.GetDrains(), func(n *meshpb.DrainCount) DrainCount {
			return DrainCount{DrainRef{n.GetCluster(), DrainKind(n.GetWhat()), n.GetName()}, n.GetConnections()}
		}),
		Sessions: each(m.GetSessions(), func(s *meshpb.BGPSession) BGPSession {
			return BGPSession{Peer: s.GetPeer(), State: s.GetState(), Established: s.GetEstablished(), Reason: s.GetReason()}
		}),
	}
}

func readPeer(_ *checker, m *meshpb.Peer) *Peer {
	return &Peer{
		Name: m.GetName(), Endpoints: m.GetEndpoints(),
		TLS: TLSFiles{CA: m.GetCaFile(), Cert: m.GetCertFile(), Key: m.GetKeyFile()},
	}
}

func readBGPPeer(c *checker, m *meshpb.BGPPeer) *BGPPeer {
	return &BGPPeer{
		Name:         m.GetName(),
		Address:      readAddr(m.GetAddress()),
		Port:         narrow[uint16](c, "port", m.GetPort()),
		ASN:          m.GetAsn(),
		LocalASN:     m.GetLocalAsn(),
		Interface:    m.GetInterface(),
		HoldTime:     readDuration(c, "hold time", m.GetHoldTime()),
		Keepalive:    readDuration(c, "keepalive", m.GetKeepalive()),
		ConnectRetry: readDuration(c, "connect retry", m.GetConnectRetry()),
		RestartTime:  readDuration(c, "restart time", m.GetRestartTime()),
		PasswordFile: m.GetPasswordFile(),
		Multihop:     narrow[uint8](c, "multihop", m.GetMultihop()),
		NodeSelector: readSelector(m.GetNodeSelector()),
		Families:     each(m.GetFamilies(), func(f meshpb.Family) Family { return narrow[Family](c, "families", f) }),
	}
}

func readAdvertisement(_ *checker, m *meshpb.BGPAdvertisement) *BGPAdvertisement {
	return &BGPAdvertisement{
		Name:            m.GetName(),
		PodCIDRs:        m.GetPodCidrs(),
		LoadBalancerIPs: m.GetLoadBalancerIps(),
		ServiceSelector: readSelector(m.GetServiceSelector()),
		Peers:           m.GetPeers(),
		NodeSelector:    readSelector(m.GetNodeSelector()),
		Communities:     m.GetCommunities(),
		LocalPref:       m.GetLocalPref(),
	}
}

func readSelector(m *meshpb.Selector) Selector {
	return Selector{
		MatchLabels: m.GetMatchLabels(),
		MatchExpressions: each(m.GetMatchExpressions(), func(r *meshpb.Requirement) Requirement {
			return Requirement{Key: r.GetKey(), Operator: Operator(r.GetOperator()), Values: r.GetValues()}
		}),
	}
}

func readDrain(c *checker, m *meshpb.Drain) *Drain {
	return &Drain{
		What: DrainKind(m.GetWhat()), Name: m.GetName(), Moved: narrow[uint16](c, "moved", m.GetMoved()),
		Since:    readTime(c, "since", m.GetSince()),
		Deadline: readTime(c, "deadline", m.GetDeadline()), Ended: m.GetEnded(),
		Returning: readTime(c, "returning", m.GetReturning()), Over: readDuration(c, "over", m.GetOver()),
		Reason: m.GetReason(),
	}
}

func readKeyring(c *checker, m *meshpb.Keyring) *Keyring {
	return &Keyring{Use: narrow[uint8](c, "use", m.GetUse()), Keys: each(m.GetKeys(), func(g *meshpb.GossipKey) GossipKey {
		out := GossipKey{Since: readTime(c, "since", g.GetSince())}
		if len(g.GetSecret()) == len(out.Secret) {
			copy(out.Secret[:], g.GetSecret())
		}
		return out
	})}
}

func readCheckRequest(_ *checker, m *meshpb.CheckRequest) *CheckRequest {
	return &CheckRequest{ID: m.GetId()}
}

func readCheckAnswer(c *checker, m *meshpb.CheckAnswer) *CheckAnswer {
	return &CheckAnswer{
		Node: m.GetNode(), Requests: m.GetRequests(), Version: m.GetVersion(), Kernel: m.GetKernel(),
		Paths:    each(m.GetPaths(), func(p *meshpb.CheckPath) CheckPath { return readCheckPath(c, p) }),
		Findings: each(m.GetFindings(), readFinding), More: int(m.GetMore()),
	}
}

func readCheckPath(c *checker, m *meshpb.CheckPath) CheckPath {
	return CheckPath{
		Cluster: m.GetCluster(), Family: m.GetFamily(), Nodes: int(m.GetNodes()), Checked: int(m.GetChecked()), Address: int(m.GetAddress()),
		Pods: int(m.GetPods()), Back: int(m.GetBack()), Kept: int(m.GetKept()), MTU: int(m.GetMtu()),
		RTT: readDuration(c, "rtt", m.GetRtt()), Clock: readDuration(c, "clock", m.GetClock()),
	}
}

func readFinding(m *meshpb.Finding) Finding {
	return Finding{
		Level: FindingLevel(m.GetLevel()), Code: m.GetCode(), Cluster: m.GetCluster(), Node: m.GetNode(), Family: m.GetFamily(),
		Problem: m.GetProblem(), Mend: m.GetMend(),
	}
}
