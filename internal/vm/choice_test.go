package main

import (
	"slices"
	"strings"
	"testing"
)

func TestChoice(t *testing.T) {
	all := []string{"TestA", "TestB", "TestC", "TestD"}
	for _, c := range []struct {
		name   string
		choice choice
		share  bool
		want   string
	}{
		{"all", choice{}, false, "TestA TestB TestC TestD"},
		{"all are the share", choice{}, true, "TestA TestB TestC TestD"},
		{"a share", choice{share: []string{"TestC", "TestA"}}, true, "TestA TestC"},
		{"not the share", choice{share: []string{"TestC", "TestA"}}, false, "TestA TestB TestC TestD"},
		{"the kernel's", choice{kernel: []string{"TestB", "TestC"}}, true, "TestB TestC"},
		{"a share of the kernel's", choice{kernel: []string{"TestB", "TestC"}, share: []string{"TestB"}}, true, "TestB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.choice.of("a", all, c.share)
			if err != nil || strings.Join(got, " ") != c.want {
				t.Errorf("%v, %v; want %s", got, err, c.want)
			}
		})
	}
	for _, gone := range []choice{{share: []string{"TestE"}}, {kernel: []string{"TestE"}}, {needs: map[string]string{"TestE": "tcx"}}} {
		if got, err := gone.of("a", all, false); err == nil {
			t.Errorf("a name that no test has is no error: %+v gives %v", gone, got)
		}
	}
	if !slices.Equal(all, []string{"TestA", "TestB", "TestC", "TestD"}) {
		t.Errorf("the list is changed: %v", all)
	}
}
