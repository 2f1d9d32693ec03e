package events

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// Event is something that happened to an object.
type Event struct {
	// Object names it, without a resourceVersion: two of them would be two Events.
	Object corev1.ObjectReference
	// Warning: its owner should look.
	Warning bool
	// Reason is one word, Message a sentence.
	Reason, Message string
}

// maxMessage is how long a message may be, in bytes, by the API's own rule.
const maxMessage = 1024

// body returns the Event as the API has it; its name is that of all like it.
func (e Event) body(node string, count int32, now time.Time) *corev1.Event {
	sum, kind := fnv.New64a(), corev1.EventTypeNormal
	if e.Warning {
		kind = corev1.EventTypeWarning
	}
	fmt.Fprintf(sum, "%s\x00%s\x00%s\x00%s\x00%s", e.Object.Kind, e.Object.UID, kind, e.Reason, e.Message)
	namespace := e.Object.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, Name: e.Object.Name + "." + hex.EncodeToString(sum.Sum(nil))},
		InvolvedObject: e.Object, Type: kind, Reason: e.Reason, Message: shorten(e.Message),
		Source: corev1.EventSource{Component: "tombolo", Host: node}, ReportingController: "tombolo.io/apiserver", ReportingInstance: node,
		FirstTimestamp: metav1.NewTime(now), LastTimestamp: metav1.NewTime(now), Count: count,
	}
}

func shorten(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage-len("…")], "") + "…"
}

// write writes an Event that happened count times more. It returns how often it has
// happened by now; known is that of before, zero if it is not known.
func write(ctx context.Context, core rest.Interface, e *corev1.Event, known int32) (int32, error) {
	count := known + e.Count
	if known == 0 {
		err := core.Post().Namespace(e.Namespace).Resource("events").Body(e).Do(ctx).Error()
		if !apierrors.IsAlreadyExists(err) {
			return e.Count, err
		}
		before, err := patch(ctx, core, e, map[string]any{"lastTimestamp": e.LastTimestamp})
		if err != nil {
			return 0, err
		}
		count = before + e.Count
	}
	_, err := patch(ctx, core, e, map[string]any{"lastTimestamp": e.LastTimestamp, "count": count})
	if apierrors.IsNotFound(err) { // it was forgotten: an hour has passed
		return write(ctx, core, e, 0)
	}
	return count, err
}

// patch changes an Event that there is, and returns its count.
func patch(ctx context.Context, core rest.Interface, e *corev1.Event, change map[string]any) (int32, error) {
	body, err := json.Marshal(change)
	if err != nil {
		return 0, err
	}
	var out corev1.Event
	err = core.Patch(types.MergePatchType).Namespace(e.Namespace).Resource("events").Name(e.Name).Body(body).Do(ctx).Into(&out)
	return out.Count, err
}
