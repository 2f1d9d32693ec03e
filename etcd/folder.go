package etcd

import (
	"context"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// pageOfKeys is how many keys one question for keys alone asks for.
const pageOfKeys = 500

// Next returns how keys that begin with a prefix go on, sorted: whole keys, and of
// those that go deeper what they have up to the next slash, once. Values are not read.
func (c *Client) Next(ctx context.Context, prefix string) ([]string, error) {
	var out []string
	end := clientv3.GetPrefixRangeEnd(prefix)
	for from := prefix; ; {
		page, err := c.etcd.Get(ctx, from, clientv3.WithRange(end), clientv3.WithKeysOnly(), clientv3.WithLimit(pageOfKeys))
		if err != nil {
			return nil, fmt.Errorf("listing keys that begin with %s: %w", prefix, err)
		}
		for _, kv := range page.Kvs {
			next := untilSlash(string(kv.Key), len(prefix))
			if n := len(out); n == 0 || out[n-1] != next {
				out = append(out, next)
			}
			// The page after this one may leave out all that is below the same folder.
			if from = next + "\x00"; strings.HasSuffix(next, "/") {
				from = clientv3.GetPrefixRangeEnd(next)
			}
		}
		if !page.More {
			return out, nil
		}
	}
}

// untilSlash is a key up to its first slash at or behind a place.
func untilSlash(key string, at int) string {
	if i := strings.IndexByte(key[at:], '/'); i >= 0 {
		return key[:at+i+1]
	}
	return key
}
