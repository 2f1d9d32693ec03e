package pods

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"regexp"
	"slices"
)

// Pod is a pod that runs on this node.
type Pod struct {
	// UID tells it from every other pod, of its name or its addresses, too.
	UID string `json:"uid"`
	// Name is namespace/name, for people; it may be empty.
	Name string `json:"name,omitempty"`
	// Addresses are sorted. In a file there are one or more, those of the node for a
	// pod in its network; a container runtime says none of such a pod, and none yet
	// of one that is being made.
	Addresses []netip.Addr `json:"addresses"`
	// HostNetwork: it is in the node's network, by the word of a container runtime.
	HostNetwork bool `json:"hostNetwork,omitempty"`
	// Static: the kubelet has it from a file and not from the API, where it goes by
	// another uid.
	Static bool `json:"static,omitempty"`
	// Sandbox is what a container runtime calls it, and Cgroup the directory of all
	// its processes below the mount of cgroup2; both may be empty.
	Sandbox string `json:"sandbox,omitempty"`
	Cgroup  string `json:"cgroup,omitempty"`
}

// Bounds of what a file may say.
const (
	maxFile      = 16 << 10 // bytes
	maxAddresses = 16
	maxName      = 512
)

// suffix ends the names of the files that count; before it is the pod's uid.
const suffix = ".json"

// uidForm is what a uid may be: it is a file's name.
var uidForm = regexp.MustCompile(`^[0-9A-Za-z]([0-9A-Za-z._-]{0,126}[0-9A-Za-z])?$`)

// ValidUID reports whether a pod can have this uid.
func ValidUID(uid string) bool { return uidForm.MatchString(uid) }

// readPod reads the file of a pod.
func readPod(path, uid string) (Pod, error) {
	f, err := os.Open(path)
	if err != nil {
		return Pod{}, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Pod{}, err
	}
	p, err := parsePod(raw, uid)
	if err != nil {
		return Pod{}, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// parsePod reads what a file says of the pod of a uid. Fields that this version
// does not know are passed over.
func parsePod(raw []byte, uid string) (p Pod, err error) {
	if len(raw) > maxFile {
		return p, fmt.Errorf("it is longer than %d bytes", maxFile)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(&p); err != nil {
		return p, fmt.Errorf("it is no JSON of a pod: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return p, errors.New("something follows the pod")
	}
	switch {
	case p.UID != uid:
		return p, fmt.Errorf("uid %q: want that of the file's name", p.UID)
	case !ValidUID(uid):
		return p, fmt.Errorf("uid %q: want up to 128 letters, digits, dots, dashes and underscores", uid)
	case len(p.Name) > maxName:
		return p, fmt.Errorf("name: longer than %d bytes", maxName)
	case len(p.Addresses) == 0 || len(p.Addresses) > maxAddresses:
		return p, fmt.Errorf("addresses: %d, want 1 to %d", len(p.Addresses), maxAddresses)
	}
	for i, a := range p.Addresses {
		if !ValidAddress(a) {
			return p, fmt.Errorf("addresses[%d]: %q is not an address of a pod", i, a)
		}
		p.Addresses[i] = a.Unmap()
	}
	return Pod{UID: p.UID, Name: p.Name, Addresses: Sorted(p.Addresses)}, nil
}

// ValidAddress reports whether a pod can have this address.
func ValidAddress(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback()
}

// Sorted sorts addresses in place and returns each of them once.
func Sorted(all []netip.Addr) []netip.Addr {
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}
