package kubelet

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pass has every pod be as the API wants it, and the API know how it is.
func (k *kubelet) pass(ctx context.Context) error {
	running, err := k.Runtime.Running()
	if err != nil {
		return fmt.Errorf("looking at what runs: %w", err)
	}
	var errs []error
	wanted := map[string]bool{}
	for _, o := range k.pods.GetStore().List() {
		pod := o.(*corev1.Pod)
		wanted[string(pod.UID)] = true
		r, ok := running[string(pod.UID)]
		if err := k.sync(ctx, pod, r, ok); err != nil {
			errs = append(errs, fmt.Errorf("%s/%s: %w", pod.Namespace, pod.Name, err))
		}
	}
	for uid := range running {
		if !wanted[uid] {
			errs = append(errs, k.forget(ctx, uid))
		}
	}
	return errors.Join(errs...)
}

// forget ends a pod whose object is gone: deleted by force, unless everything is
// gone.
func (k *kubelet) forget(ctx context.Context, uid string) error {
	if k.kept[uid] {
		return nil
	}
	if err := k.register(ctx); err != nil {
		return fmt.Errorf("asking whether pods were deleted or lost: %w", err)
	}
	if k.kept[uid] {
		return nil
	}
	return k.Runtime.Stop(ctx, uid)
}

// sync looks after one pod.
func (k *kubelet) sync(ctx context.Context, pod *corev1.Pod, r Running, started bool) error {
	now := time.Now()
	switch {
	case pod.DeletionTimestamp != nil && now.Before(endAt(pod)):
		return k.say(ctx, pod, r, now) // it serves on
	case pod.DeletionTimestamp != nil:
		return k.end(ctx, pod, started)
	case pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded:
		return nil
	case !started:
		// The next pass tells its addresses.
		return k.Runtime.Run(ctx, Pod{UID: string(pod.UID), Namespace: pod.Namespace, Name: pod.Name, App: pod.Labels["app"]})
	}
	return k.say(ctx, pod, r, now)
}

// endAt is when the process of a deleted pod is to end: after the sleep that a
// preStop hook wants, which the grace period bounds. Until then it serves.
func endAt(pod *corev1.Pod) time.Time {
	grace := time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second
	began := pod.DeletionTimestamp.Add(-grace)
	var sleep time.Duration
	for _, c := range pod.Spec.Containers {
		if c.Lifecycle != nil && c.Lifecycle.PreStop != nil && c.Lifecycle.PreStop.Sleep != nil {
			sleep = max(sleep, time.Duration(c.Lifecycle.PreStop.Sleep.Seconds)*time.Second)
		}
	}
	return began.Add(min(sleep, grace))
}

// end ends a pod and lets its object go.
func (k *kubelet) end(ctx context.Context, pod *corev1.Pod, started bool) error {
	if started {
		if err := k.Runtime.Stop(ctx, string(pod.UID)); err != nil {
			return fmt.Errorf("ending it: %w", err)
		}
	}
	now := int64(0)
	err := k.core.Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &pod.UID}})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("deleting its object: %w", err)
	}
	return nil
}

// say writes the status of a pod, unless it says so already. On a conflict the
// informer has news for the next pass.
func (k *kubelet) say(ctx context.Context, pod *corev1.Pod, r Running, now time.Time) error {
	status := podStatus(pod, k.Node, r, metav1.NewTime(now))
	if equality.Semantic.DeepEqual(status, pod.Status) {
		return nil
	}
	pod = pod.DeepCopy() // the informer's is read by others
	pod.Status = status
	_, err := k.core.Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		return fmt.Errorf("writing its status: %w", err)
	}
	return nil
}
