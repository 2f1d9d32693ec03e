package inspect

import (
	"context"
	"strings"

	"tombolo.io/tombolo/etcd"
)

// Complete returns how a beginning of a key goes on, folder by folder, in the form
// that it has: with the layout's root or without.
func Complete(ctx context.Context, c *etcd.Client, beginning string) ([]string, error) {
	full := Full(beginning)
	keys, err := c.Next(ctx, full)
	for i, key := range keys {
		keys[i] = key[len(full)-len(beginning):]
	}
	if beginning != "" && beginning != names && strings.HasPrefix(names, beginning) {
		keys = append(keys, names) // the layout's root itself is being written
	}
	return keys, err
}
