package clustermesh

import (
	"testing"
	"time"
)

func TestCondition(t *testing.T) {
	since := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		verdict        Verdict
		status, reason string
	}{
		{Verdict{State: VerdictUp}, "True", "ProbesAnswered"},
		{Verdict{State: VerdictDraining}, "True", "Draining"},
		{Verdict{State: VerdictSuspect}, "Unknown", "Suspect"},
		{Verdict{State: VerdictUnmonitored}, "Unknown", "NeverAnswered"},
		{Verdict{State: VerdictDown}, "False", "ProbesUnanswered"},
		{Verdict{State: VerdictDown, Override: true}, "False", "Override"},
		{Verdict{State: VerdictUp, Override: true}, "True", "Override"},
	} {
		c.verdict.Reason, c.verdict.Since = "as it is", since
		want := Condition{Type: "Serving", Status: c.status, Reason: c.reason, Message: "as it is", LastTransitionTime: since}
		if got := c.verdict.Condition(); got != want {
			t.Errorf("%+v: %+v, want %+v", c.verdict, got, want)
		}
	}
}
