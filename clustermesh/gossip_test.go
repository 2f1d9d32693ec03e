package clustermesh

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// However a secret is printed, what is shown is its name.
func TestSecretIsNotShown(t *testing.T) {
	ring := &Keyring{Keys: []GossipKey{{Secret: GossipSecret{0xde, 0xad}, Since: time.Unix(1, 0)}, {Secret: NewGossipSecret(), Since: time.Unix(2, 0)}}, Use: 1}
	text, err := json.Marshal(ring)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{
		string(text), fmt.Sprint(ring.Keys), fmt.Sprintf("%+v", ring.Keys), fmt.Sprintf("%#v", ring.Keys), fmt.Sprint(ring.Keys[0].Secret),
	} {
		if !strings.Contains(shown, ring.Keys[0].Secret.ID()) || strings.Contains(shown, "222, 173") || strings.Contains(shown, "222 173") || strings.Contains(shown, "dead") {
			t.Errorf("%s", shown)
		}
	}
	if ids := ring.IDs(); ids[0] != ring.Keys[1].Secret.ID() || ids[1] != ring.Keys[0].Secret.ID() {
		t.Errorf("got %v; the one in use comes first", ids)
	}
	if a, b := NewGossipSecret(), NewGossipSecret(); a == b {
		t.Error("secrets repeat")
	}
}
