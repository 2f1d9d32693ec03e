package clustermesh

import "testing"

func TestParseReachable(t *testing.T) {
	for text, want := range map[string]ServiceName{
		"shop/cart": {"shop", "cart"}, "shop/cart.clusterset": {"shop", "cart.clusterset"}, "shop/cart.other": {}, "cart.clusterset": {}, "shop/.clusterset": {}, "": {},
	} {
		got, err := ParseReachable(text)
		if got != want || (err == nil) != (want != ServiceName{}) {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
		if base, ok := got.Imports(); ok && base.ClusterSet() != got {
			t.Errorf("%q is the import of %v, whose import is %v", text, base, base.ClusterSet())
		}
	}
}
