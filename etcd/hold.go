package etcd

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Hold writes a key that goes when the lease of the fence does, so that readers learn
// that a leader is dead who cannot say so. It returns ErrDeposed when the fence does not
// hold.
func Hold(ctx context.Context, c *Client, fence Fence, key string, value []byte) error {
	ctx, cancel := context.WithTimeout(ctx, request)
	defer cancel()
	put := clientv3.OpPut(key, string(value), clientv3.WithLease(clientv3.LeaseID(fence.Lease)))
	resp, err := c.etcd.Txn(ctx).If(fence.Holds()).Then(put).Commit()
	if err != nil {
		return fmt.Errorf("holding %s: %w", key, err)
	}
	if !resp.Succeeded {
		return fmt.Errorf("holding %s: %w", key, ErrDeposed)
	}
	return nil
}
