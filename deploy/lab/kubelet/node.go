package kubelet

import (
	"context"
	"fmt"
	"runtime"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
)

// register makes the node known, or known again, and renews its lease.
func (k *kubelet) register(ctx context.Context) error {
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error { return k.write(ctx) })
	if err != nil {
		return err
	}
	return k.renew(ctx)
}

// write writes the node and its status, where they are not yet as they are to be.
func (k *kubelet) write(ctx context.Context) error {
	node, err := k.core.Nodes().Get(ctx, k.Node.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		node, err = k.core.Nodes().Create(ctx, k.object(), metav1.CreateOptions{})
	}
	if err == nil {
		err = k.recognise(node.UID)
	}
	if err != nil {
		return err
	}
	status := k.status(node.Status)
	if equality.Semantic.DeepEqual(status, node.Status) {
		return nil
	}
	node.Status = status
	_, err = k.core.Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{})
	return err
}

// recognise keeps what runs when the node's object is not the one it was.
func (k *kubelet) recognise(uid types.UID) error {
	if k.uid == uid {
		return nil
	}
	if k.uid != "" {
		running, err := k.Runtime.Running()
		if err != nil {
			return fmt.Errorf("looking at what runs: %w", err)
		}
		for pod := range running {
			k.kept[pod] = true
		}
		k.lost = true
		k.log.Warn("the API lost this node: what runs here runs on without objects", "pods", len(running))
	}
	k.uid = uid
	return nil
}

// object is the node before anybody has seen it.
func (k *kubelet) object() *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: k.Node.Name, Labels: map[string]string{
		corev1.LabelHostname: k.Node.Name, corev1.LabelTopologyZone: k.Node.Zone,
		corev1.LabelOSStable: runtime.GOOS, corev1.LabelArchStable: runtime.GOARCH,
	}}}
	for _, p := range k.Node.PodCIDRs {
		n.Spec.PodCIDRs = append(n.Spec.PodCIDRs, p.String())
	}
	n.Spec.PodCIDR = n.Spec.PodCIDRs[0]
	return n
}

// status is what the node's is to be: that of others stays.
func (k *kubelet) status(s corev1.NodeStatus) corev1.NodeStatus {
	s.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: k.Node.Name}}
	for _, a := range k.Node.Addresses {
		s.Addresses = append(s.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a.String()})
	}
	s.NodeInfo.BootID, s.NodeInfo.OperatingSystem, s.NodeInfo.Architecture = k.Node.BootID, runtime.GOOS, runtime.GOARCH
	s.NodeInfo.KubeletVersion, s.NodeInfo.ContainerRuntimeVersion = "tombolo-lab", "tombolo-lab://1"
	s.Capacity = corev1.ResourceList{corev1.ResourcePods: resource.MustParse("26"), // plan.MaxPods
		corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("16Gi")}
	s.Allocatable = s.Capacity
	s.Conditions = nodeReady(s.Conditions, metav1.Now())
	return s
}

// nodeReady returns the conditions with Ready true; since when is kept.
func nodeReady(all []corev1.NodeCondition, now metav1.Time) []corev1.NodeCondition {
	out := []corev1.NodeCondition{}
	want := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady",
		Message: "the lab runs pods here", LastHeartbeatTime: now, LastTransitionTime: now}
	for _, c := range all {
		if c.Type != corev1.NodeReady {
			out = append(out, c)
		} else if c.Status == corev1.ConditionTrue {
			want = c
		}
	}
	return append(out, want)
}

// renew says that the node lives, as node-lifecycle-controller wants to hear it.
func (k *kubelet) renew(ctx context.Context) error {
	now, seconds := metav1.NowMicro(), int32(leaseFor/time.Second)
	lease, err := k.leases.Get(ctx, k.Node.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = k.leases.Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: k.Node.Name},
			Spec: coordinationv1.LeaseSpec{HolderIdentity: &k.Node.Name, LeaseDurationSeconds: &seconds, RenewTime: &now}}, metav1.CreateOptions{})
	} else if err == nil {
		lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds, lease.Spec.RenewTime = &k.Node.Name, &seconds, &now
		_, err = k.leases.Update(ctx, lease, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("renewing its lease: %w", err)
	}
	return nil
}
