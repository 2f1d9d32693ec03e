package election

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"tombolo.io/tombolo/etcd"
)

// Supersede removes the candidates of a name, for a process that knows that
// whoever had its name before is dead: it need not wait until that one's lease
// ends. Should it live all the same, it is deposed and stands again.
func Supersede(ctx context.Context, c *etcd.Client, cfg Config) error {
	resp, err := c.Raw().Get(ctx, cfg.Prefix, clientv3.WithPrefix())
	if err != nil {
		return fmt.Errorf("reading who stands for %s: %w", cfg.Prefix, err)
	}
	for _, kv := range resp.Kvs {
		if string(kv.Value) != cfg.Name {
			continue
		}
		if _, err := c.Raw().Delete(ctx, string(kv.Key)); err != nil {
			return fmt.Errorf("removing a dead candidate for %s: %w", cfg.Prefix, err)
		}
	}
	return nil
}
