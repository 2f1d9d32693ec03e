package check

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/clustermesh"
)

// Facts are what is to be known of this node.
type Facts struct {
	// Kernel is the release of the kernel.
	Kernel string
	// BPFFS and Cgroup are why these directories are not what they must be, nil if
	// they are.
	BPFFS, Cgroup error
	// Failover is what becomes of verdicts: on, observe or off. Problem is why probes
	// of others are not answered here, or nobody can be probed; nil if all is well.
	Failover string
	Problem  error
	// Deaf are why this node does not listen where others want to reach its agent.
	Deaf []string
}

// Cluster is what is to be known of another cluster before its nodes are asked.
type Cluster struct {
	Name string
	// Nodes counts those that are known.
	Nodes int
	// Phase is that of its mirror, empty if there is none, and Reason why.
	Phase  clustermesh.MirrorPhase
	Reason string
	// Deaf: it does not have this cluster as a peer.
	Deaf bool
}

// The kernels that are needed at least, and for all.
var needed, wanted = [2]int{6, 1}, [2]int{6, 6}

// Judge says what is wrong with this node.
func (f Facts) Judge() []clustermesh.Finding {
	var out []clustermesh.Finding
	find := func(level clustermesh.FindingLevel, code, problem, mend string) {
		out = append(out, clustermesh.Finding{Level: level, Code: code, Problem: problem, Mend: mend})
	}
	switch v, err := release(f.Kernel); {
	case err != nil:
		find(clustermesh.FindingNote, "kernel", err.Error(), "see that it is Linux 6.1 or newer")
	case older(v, needed):
		find(clustermesh.FindingWrong, "kernel", "Linux "+f.Kernel+" is older than 6.1", "install a newer kernel: with this one programs may be refused")
	case older(v, wanted):
		find(clustermesh.FindingNote, "kernel", "Linux "+f.Kernel+" has no tcx, which came with 6.6: probes are answered by a filter of the clsact qdisc",
			"nothing must be done; see that no other program removes the qdisc clsact")
	}
	if f.BPFFS != nil {
		find(clustermesh.FindingWrong, "mount", f.BPFFS.Error(), "mount a bpffs there (mount -t bpf bpf DIR), or give its --bpffs: what is pinned must outlive the agent")
	}
	if f.Cgroup != nil {
		find(clustermesh.FindingWrong, "mount", f.Cgroup.Error(), "mount cgroup2 (mount -t cgroup2 cgroup2 DIR), or give its --cgroup")
	}
	switch f.Failover {
	case "off":
		find(clustermesh.FindingWrong, "failover-off", "failover is off: this node does not notice the death of others", "start its agent without --failover=off")
	case "observe":
		find(clustermesh.FindingNote, "failover-off", "failover only observes: this node notices the death of others and goes on using them", "start its agent with --failover=on when its events look right (tombolo events)")
	}
	if f.Problem != nil {
		find(clustermesh.FindingWrong, "probes", "other nodes do not notice its death, or it does not theirs: "+f.Problem.Error(), "run tombolo status on it")
	}
	for _, why := range f.Deaf {
		find(clustermesh.FindingWrong, "not-listening", why, "if the port is in use, see by whom (ss -lntup) and end that, or give all agents another (--gossip-port in the cluster, --probe-port in the mesh)")
	}
	return out
}

// Judge says what is wrong with another cluster as a whole, seen from here.
func (c Cluster) Judge() []clustermesh.Finding {
	var out []clustermesh.Finding
	wrong := func(code, problem, mend string) {
		out = append(out, clustermesh.Finding{Level: clustermesh.FindingWrong, Code: code, Cluster: c.Name, Problem: problem, Mend: mend})
	}
	if c.Phase != clustermesh.MirrorSynced {
		phase := string(c.Phase)
		if phase == "" {
			phase = "not begun"
		}
		wrong("mirror", strings.TrimSuffix(fmt.Sprintf("its mirror is %s: %s", phase, c.Reason), ": "),
			"see tombolo clusters, and whether the API server reaches the endpoints of its ClusterPeer with the right certificates")
	}
	switch {
	case c.Nodes == 0:
		wrong("no-nodes", "no node of it is known here, so none is checked", "see tombolo clusters")
	case c.Deaf:
		wrong("one-sided", "it does not have this cluster as a peer, so its nodes answer no probes from here", "add a ClusterPeer with the name of this cluster there")
	}
	return out
}

// release reads the first two numbers of a kernel's release.
func release(s string) (v [2]int, err error) {
	parts := strings.SplitN(s, ".", 3)
	if len(parts) < 2 {
		return v, fmt.Errorf("the kernel release %q is not understood", s)
	}
	for i := range v {
		digits := parts[i]
		if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); i == 1 && end >= 0 {
			digits = digits[:end] // 7.0-rc1
		}
		if v[i], err = strconv.Atoi(digits); err != nil {
			return v, fmt.Errorf("the kernel release %q is not understood", s)
		}
	}
	return v, nil
}

func older(a, b [2]int) bool { return a[0] < b[0] || a[0] == b[0] && a[1] < b[1] }

// Survey looks at the kernel and the mounts of this node.
func Survey(bpffs, cgroup string) Facts {
	var f Facts
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		f.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	f.BPFFS = isType(bpffs, unix.BPF_FS_MAGIC, "bpffs")
	f.Cgroup = isType(cgroup, unix.CGROUP2_SUPER_MAGIC, "cgroup2")
	return f
}

// isType says why a directory is not in a file system of a type.
func isType(dir string, magic int64, name string) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fmt.Errorf("looking at %s: %w", dir, err)
	}
	if int64(s.Type) != magic {
		return fmt.Errorf("%s is in no %s", dir, name)
	}
	return nil
}
