package etcd

import (
	"context"
	"crypto/rand"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// RenewEpoch writes a new random epoch under key and returns it. A leader does
// so when the store has none, and when a writer returned ErrRewound; markers
// that name the new epoch must be written only after a new complete pass. It
// returns ErrDeposed when the fence does not hold.
func RenewEpoch(ctx context.Context, c *Client, fence Fence, key string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, request)
	defer cancel()
	epoch := rand.Text()
	resp, err := c.etcd.Txn(ctx).If(fence.Holds()).Then(clientv3.OpPut(key, epoch)).Commit()
	if err != nil {
		return "", fmt.Errorf("renewing the epoch: %w", err)
	}
	if !resp.Succeeded {
		return "", fmt.Errorf("renewing the epoch: %w", ErrDeposed)
	}
	return epoch, nil
}
