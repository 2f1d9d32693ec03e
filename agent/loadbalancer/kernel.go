package loadbalancer

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/agent/outlier"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
)

// Kernel returns the maps of a data path as a Target.
func Kernel(d *bpf.Datapath) Target { return &datapath{d} }

type datapath struct{ d *bpf.Datapath }

func (k *datapath) Limits() Limits {
	return Limits{Services: k.d.Services.Len(), Slots: k.d.Slots.Len(), Backends: k.d.Backends.Len(), Nodes: k.d.Nodes.Len(), Frontends: k.d.Frontends.Cap(), Ranges: k.d.Ranges.Cap()}
}

func (k *datapath) EachFrontend(yield func(Frontend, uint32)) error {
	all, err := k.d.Frontends.All()
	if err != nil {
		return err
	}
	for f, number := range all {
		yield(Frontend{f.Address, clustermesh.Protocol(f.Protocol), Scope(f.Scope)}, number)
	}
	return nil
}

func (k *datapath) PutFrontend(f Frontend, service uint32) error {
	k.d.Frontends.Settled() // state.leadOne saw to that
	err := k.d.Frontends.Put(map[bpf.Frontend]uint32{kernelFrontend(f): service})
	if errors.Is(err, unix.E2BIG) {
		err = &fullError{"frontends", fmt.Errorf("all %d frontends are in use: %w", k.d.Frontends.Cap(), err)}
	}
	return err
}

func (k *datapath) DeleteFrontend(f Frontend) error {
	return k.d.Frontends.Delete(kernelFrontend(f))
}

func kernelFrontend(f Frontend) bpf.Frontend {
	return bpf.Frontend{Address: f.Address, Protocol: uint8(f.Protocol), Scope: bpf.Scope(f.Scope)}
}

func (k *datapath) EachRange(yield func(Range)) error {
	all, err := k.d.Ranges.All()
	for _, r := range all {
		yield(Range(r))
	}
	return err
}

func (k *datapath) PutRange(r Range) error {
	err := k.d.Ranges.Put(bpf.Range(r))
	if errors.Is(err, bpf.ErrNoRoom) {
		err = &fullError{"ranges", err}
	}
	return err
}

func (k *datapath) DeleteRange(r Range) error { return k.d.Ranges.Delete(bpf.Range(r)) }

func (k *datapath) Service(number uint32) Service {
	s := k.d.Services.Read(number)
	return Service{
		Tables:   [tiers]Extent{Primary: Extent(s.Primary), Backup: Extent(s.Backup)},
		Affinity: s.Affinity,
		Outliers: s.Outliers,
		Drops:    s.Drops,
		Guard:    Guard(s.Guard),
		Owner:    s.Owner,
	}
}

func (k *datapath) PutService(number uint32, s Service) {
	k.d.Services.Write(number, bpf.Service{
		Primary:  bpf.Extent(s.Tables[Primary]),
		Backup:   bpf.Extent(s.Tables[Backup]),
		Affinity: s.Affinity,
		Outliers: s.Outliers,
		Drops:    s.Drops,
		Guard:    bpf.Guard(s.Guard),
		Owner:    s.Owner,
	})
}

func (k *datapath) Slots(at Extent) []uint32 { return k.d.Slots.Read(bpf.Extent(at)) }

func (k *datapath) PutSlots(offset uint32, table []uint32) { k.d.Slots.Write(offset, table) }

func (k *datapath) ReplaceSlots(offset uint32, table []uint32) { k.d.Slots.Replace(offset, table) }

func (k *datapath) Backend(number uint32) Backend {
	b := k.d.Backends.Read(number)
	return Backend{
		Standing: Standing(b.State),
		Address:  b.Address,
		Protocol: clustermesh.Protocol(b.Protocol),
		Cluster:  b.Cluster,
		Node:     b.Node,
		OnNode:   b.Kind == bpf.Host,
		Service:  b.Service,
	}
}

func (k *datapath) Usable(number uint32) bool { return k.d.Backends.Read(number).State != bpf.Free }

func (k *datapath) PutBackend(number uint32, b Backend) {
	entry := bpf.Backend{
		Service: b.Service, Address: b.Address, Protocol: uint8(b.Protocol),
		State: bpf.Active, Kind: bpf.Pod, Cluster: b.Cluster, Node: b.Node,
	}
	if b.OnNode {
		entry.Kind = bpf.Host
	}
	k.d.Backends.Write(number, entry)
}

func (k *datapath) SetStanding(number uint32, s Standing) {
	k.d.Backends.SetState(number, bpf.State(s))
}

func (k *datapath) DropBackend(number uint32) { k.d.Backends.SetState(number, bpf.Free) }

// ConnectFailures returns what the kernel told as Fail takes it.
func ConnectFailures(told []bpf.Failure) []ConnectFailure {
	out := make([]ConnectFailure, len(told))
	for i, f := range told {
		out[i] = ConnectFailure{
			Service: f.Service, Host: outlier.Host{Cluster: f.Cluster, Address: f.Address},
			Cause: f.Cause, InARow: int(f.InARow),
		}
	}
	return out
}

func (k *datapath) Forgive(number uint32) { k.d.Backends.Forgive(number) }

func (k *datapath) SetClusterHealth(cluster uint16, h Health) {
	k.d.Clusters.Set(uint32(cluster), uint8(h))
}

func (k *datapath) SetNodeHealth(node uint32, h Health) { k.d.Nodes.Set(node, uint8(h)) }

func (k *datapath) ClusterHealth(cluster uint16) Health {
	return Health(k.d.Clusters.Get(uint32(cluster)))
}

func (k *datapath) NodeHealth(node uint32) Health { return Health(k.d.Nodes.Get(node)) }

func (k *datapath) Grace() error { return k.d.Grace() }
