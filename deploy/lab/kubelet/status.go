package kubelet

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// podStatus is what the status of a pod that was started is to be. Conditions
// that others write stay, and each keeps since when it is as it is.
func podStatus(pod *corev1.Pod, node Node, r Running, now metav1.Time) corev1.PodStatus {
	s := *pod.Status.DeepCopy()
	s.Phase = corev1.PodRunning
	if s.StartTime == nil {
		s.StartTime = &now
	}
	s.HostIPs, s.PodIPs = nil, nil
	for _, a := range node.Addresses {
		s.HostIPs = append(s.HostIPs, corev1.HostIP{IP: a.String()})
	}
	s.HostIP = s.HostIPs[0].IP
	for _, a := range r.Addresses {
		s.PodIPs = append(s.PodIPs, corev1.PodIP{IP: a.String()})
	}
	if len(s.PodIPs) > 0 {
		s.PodIP = s.PodIPs[0].IP
	}
	_, off := pod.Annotations[NotReady]
	containers := r.Alive && !off
	s.ContainerStatuses = containerStatuses(pod, r.Alive, containers, *s.StartTime)
	for _, c := range []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue},
		{Type: corev1.PodInitialized, Status: corev1.ConditionTrue},
		{Type: corev1.ContainersReady, Status: truth(containers)},
		{Type: corev1.PodReady, Status: truth(containers && gatesOpen(pod))},
	} {
		c.LastTransitionTime, c.ObservedGeneration = now, pod.Generation
		switch {
		case c.Status == corev1.ConditionTrue:
		case !r.Alive:
			c.Reason, c.Message = "ContainersNotReady", "its process has ended"
		case off:
			c.Reason, c.Message = "ContainersNotReady", "the annotation "+NotReady+" is set"
		default:
			c.Reason, c.Message = "ReadinessGatesNotReady", "a readiness gate of the pod is not open"
		}
		s.Conditions = withCondition(s.Conditions, c)
	}
	return s
}

// gatesOpen says whether every readiness gate of a pod has its condition.
func gatesOpen(pod *corev1.Pod) bool {
	for _, g := range pod.Spec.ReadinessGates {
		open := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == g.ConditionType && c.Status == corev1.ConditionTrue
		})
		if !open {
			return false
		}
	}
	return true
}

func containerStatuses(pod *corev1.Pod, alive, ready bool, since metav1.Time) []corev1.ContainerStatus {
	var out []corev1.ContainerStatus
	for _, c := range pod.Spec.Containers {
		s := corev1.ContainerStatus{Name: c.Name, Image: c.Image, Ready: ready, Started: &alive}
		if alive {
			s.State.Running = &corev1.ContainerStateRunning{StartedAt: since}
		} else {
			s.State.Terminated = &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 137, StartedAt: since}
		}
		out = append(out, s)
	}
	return out
}

// withCondition replaces a condition; one that is as it was keeps its time.
func withCondition(all []corev1.PodCondition, c corev1.PodCondition) []corev1.PodCondition {
	i := slices.IndexFunc(all, func(o corev1.PodCondition) bool { return o.Type == c.Type })
	if i < 0 {
		return append(all, c)
	}
	if all[i].Status == c.Status {
		c.LastTransitionTime = all[i].LastTransitionTime
	}
	c.LastProbeTime = all[i].LastProbeTime
	all[i] = c
	return all
}

func truth(b bool) corev1.ConditionStatus {
	if b {
		return corev1.ConditionTrue
	}
	return corev1.ConditionFalse
}
