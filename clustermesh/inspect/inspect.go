// Package inspect shows people what a store holds: keys as they are, values
// decoded, and those that do not decode with the reason. It believes
// everything that it reads and heeds no marker.
package inspect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// Entry is a key of the store, for people.
type Entry struct {
	Key      string `json:"key"`
	Revision int64  `json:"revision,omitempty"`
	// Size is that of the stored value, in bytes.
	Size int `json:"size"`
	// Value is the decoded object as plain maps, lists, texts and numbers; nil
	// when Error says why there is none.
	Value any    `json:"value,omitempty"`
	Error string `json:"error,omitempty"`
}

// ErrNotFound: the store has no such key.
var ErrNotFound = errors.New("the store has no such key")

// names is what all our keys begin with, those outside of the layout (elections)
// too.
const names = "tombolo/"

// Full returns a key as it is stored: what does not begin with tombolo/ is
// below the layout's root.
func Full(key string) string {
	if strings.HasPrefix(key, names) {
		return key
	}
	return clustermesh.Root + key
}

// List calls yield with every key that begins with prefix, in order.
func List(ctx context.Context, c *etcd.Client, prefix string, yield func(Entry) error) error {
	_, err := c.List(ctx, Full(prefix), func(kv etcd.KV) error {
		e := entry(kv.Key, kv.Value)
		e.Revision = kv.Revision
		return yield(e)
	})
	return err
}

// Get returns one key, or ErrNotFound.
func Get(ctx context.Context, c *etcd.Client, key string) (Entry, error) {
	kv, ok, err := c.Get(ctx, Full(key))
	if err != nil {
		return Entry{}, err
	}
	if !ok {
		return Entry{}, fmt.Errorf("reading %s: %w", Full(key), ErrNotFound)
	}
	e := entry(kv.Key, kv.Value)
	e.Revision = kv.Revision
	return e, nil
}

// Watch calls yield with every key that begins with prefix and then with every
// change, until ctx ends or yield returns an error, which it returns.
func Watch(ctx context.Context, c *etcd.Client, log *slog.Logger, prefix string, yield func(etcd.Op, Entry) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	table := etcd.Table[Entry]{
		Prefix: Full(prefix),
		Decode: func(key string, value []byte) (Entry, error) { return entry(key, value), nil },
	}
	batches := make(chan etcd.Batch[Entry])
	done := make(chan error, 1)
	go func() { done <- table.Watch(ctx, c, log, batches) }()
	for {
		select {
		case b := <-batches:
			for _, e := range b.Events {
				entry := e.Value
				entry.Key, entry.Revision = e.Key, e.Revision
				if err := yield(e.Op, entry); err != nil {
					cancel(err)
					<-done
					return err
				}
			}
		case err := <-done:
			return err
		}
	}
}

// entry decodes a stored value.
func entry(key string, value []byte) Entry {
	e := Entry{Key: key, Size: len(value)}
	if key == clustermesh.EpochKey || !strings.HasPrefix(key, clustermesh.Root) {
		e.Value = strings.ToValidUTF8(string(value), "\uFFFD")
		return e
	}
	o, err := clustermesh.DecodeAt(key, value)
	if err != nil {
		e.Error = err.Error()
		return e
	}
	e.Value = Plain(o)
	return e
}
