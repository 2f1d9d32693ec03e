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
	// Addresses are one or more, sorted. A pod in the node's network has the
	// node's.
	Addresses []netip.Addr `json:"addresses"`
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
		if !a.IsValid() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
			return p, fmt.Errorf("addresses[%d]: %q is not an address of a pod", i, a)
		}
		p.Addresses[i] = a.Unmap()
	}
	slices.SortFunc(p.Addresses, netip.Addr.Compare)
	p.Addresses = slices.Compact(p.Addresses)
	return p, nil
}
