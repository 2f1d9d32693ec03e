package kubernetes

import (
	"context"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// either reads a kind in the version that the API has: the first of two that is
// not refused for want of it. Its objects must mean the same in both.
func either(versions ...listWatch) listWatch {
	var now atomic.Int32
	// next turns to another version when the API has not that of which it was asked.
	next := func(asked int32, err error) error {
		if apierrors.IsNotFound(err) {
			now.CompareAndSwap(asked, (asked+1)%int32(len(versions)))
		}
		return err
	}
	return listWatch{
		func(ctx context.Context, o metav1.ListOptions) (out runtime.Object, err error) {
			for range versions {
				v := now.Load()
				if out, err = versions[v].list(ctx, o); !apierrors.IsNotFound(next(v, err)) {
					break
				}
			}
			return out, err
		},
		func(ctx context.Context, o metav1.ListOptions) (out watch.Interface, err error) {
			for range versions {
				v := now.Load()
				if out, err = versions[v].watch(ctx, o); !apierrors.IsNotFound(next(v, err)) {
					break
				}
			}
			return out, err
		},
	}
}
