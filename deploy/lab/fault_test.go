package lab

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"tombolo.io/tombolo/deploy/lab/echo"
	"tombolo.io/tombolo/deploy/lab/fault"
)

// faulty is a lab of pods that reach each other without any of our processes.
func faulty(t *testing.T, name string) *Lab {
	t.Helper()
	l := newLab(t, base(t), name)
	upTo(t, l, "pods")
	routeByHand(t, l)
	if err := os.WriteFile(l.upFile(), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return l
}

func inject(t *testing.T, l *Lab, f fault.Fault) {
	t.Helper()
	if f.Percent == 0 {
		f.Percent = 100
	}
	if f.Direction == "" {
		f.Direction = fault.Both
	}
	if f.Traffic == "" {
		f.Traffic = fault.All
	}
	if _, err := l.Inject(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// reach says which of the ways a lab's tests look at are open: from a pod of
// east over both families to the pod beside it, to west, and from the client.
func reach(t *testing.T, l *Lab) string {
	t.Helper()
	var open []string
	for _, way := range [][3]string{
		{"within", "east-1-a", "10.1.1.11:8080"}, {"within6", "east-1-b", "[fd00:10:1:1::a]:8080"},
		{"west", "east-1-a", "10.2.1.10:8080"}, {"west6", "east-1-a", "[fd00:10:2:1::a]:8080"},
		{"east", "west-1-a", "10.1.1.10:8080"}, {"client", "client", "10.1.1.10:8080"},
	} {
		if r := askTimes(t, l, 2, way[1], way[2], echo.UDP); r.Failed == 0 {
			open = append(open, way[0])
		}
	}
	return strings.Join(open, " ")
}

func TestCutsAndTheirHealing(t *testing.T) {
	const all = "within within6 west west6 east client"
	l := faulty(t, "cut")
	if got := reach(t, l); got != all {
		t.Fatalf("before: %s", got)
	}
	for _, c := range []struct {
		f    fault.Fault
		open string
	}{
		{fault.Fault{Kind: fault.Cut, From: "east-1"}, "within within6"},
		{fault.Fault{Kind: fault.Cut, From: "east", To: "west"}, "within within6 client"},
		{fault.Fault{Kind: fault.Cut, From: "west"}, "within within6 client"},
		{fault.Fault{Kind: fault.Cut, From: "east-1-a"}, ""},
		{fault.Fault{Kind: fault.Cut, From: "east-1", To: "client"}, "within within6 west west6 east"},
		{fault.Fault{Kind: fault.Cut, From: "west-1-a", To: "east-1-a", Traffic: fault.Control}, all},
		{fault.Fault{Kind: fault.Cut, From: "west-1-a", To: "east-1-a", Traffic: fault.Data}, "within within6 client"},
	} {
		inject(t, l, c.f)
		if got := reach(t, l); got != c.open {
			t.Errorf("with %s: %q, want %q", c.f, got, c.open)
		}
		if healed, err := l.Heal(t.Context(), nil); err != nil || len(healed) != 1 {
			t.Errorf("healing %s: %v %v", c.f, healed, err)
		}
	}
	if got := reach(t, l); got != all {
		t.Errorf("healed: %q", got)
	}
}

// hears says whether datagrams of one pod arrive at another, answered or not.
func hears(t *testing.T, l *Lab, from, to string, f fault.Fault) (there, back int) {
	t.Helper()
	inject(t, l, f)
	defer l.Heal(t.Context(), nil)
	received := func(machine string) int {
		c, err := l.Command(machine, []string{"sh", "-c", "awk '/^Udp:/ && $2 ~ /^[0-9]+$/ {print $2}' /proc/net/snmp"})
		if err != nil {
			t.Fatal(err)
		}
		return number(t, c)
	}
	m, err := l.Machine(to)
	if err != nil {
		t.Fatal(err)
	}
	before, own := received(to), received(from)
	ask(t, l, from, m.Addresses[0].IPv4.String()+":8080", echo.UDP)
	return received(to) - before, received(from) - own
}

func TestOneWay(t *testing.T) {
	l := faulty(t, "oneway")
	cut := fault.Fault{Kind: fault.Cut, From: "east", To: "west", Direction: fault.In}
	if there, back := hears(t, l, "east-1-a", "west-1-a", cut); there != 20 || back != 0 {
		t.Errorf("%s: %d arrived, %d came back", cut, there, back)
	}
	cut.Direction = fault.Out
	if there, back := hears(t, l, "east-1-a", "west-1-a", cut); there != 0 || back != 0 {
		t.Errorf("%s: %d arrived, %d came back", cut, there, back)
	}
	half := fault.Fault{Kind: fault.Loss, Percent: 50, From: "west-1", Direction: fault.In}
	if there, back := hears(t, l, "east-1-a", "west-1-a", half); there < 1 || there > 19 || back != there {
		t.Errorf("%s: %d of 20 arrived, %d came back", half, there, back)
	}
}

func TestFaultsOfProcesses(t *testing.T) {
	l := faulty(t, "proc")
	inject(t, l, fault.Fault{Kind: fault.Pause, From: "east-1-a", Role: "responder"})
	if r := ask(t, l, "east-1-b", "10.1.1.10:8080", echo.UDP); r.Errors["timeout"] != 20 {
		t.Errorf("stopped: %+v", r)
	}
	inject(t, l, fault.Fault{Kind: fault.Kill, From: "west-1-a"})                                           // whatever runs there
	if r := ask(t, l, "east-1-b", "10.2.1.10:8080", echo.UDP); r.Errors["refused"] == 0 || r.Failed != 20 { // the kernel limits such messages
		t.Errorf("killed: %+v", r)
	}
	all, err := l.Faults()
	if err != nil || len(all) != 2 || all[1].Role != "responder" || all[1].ID != 2 {
		t.Errorf("faults: %+v %v", all, err)
	}
	if healed, err := l.Heal(t.Context(), func(f fault.Fault) bool { return f.Touches("west-1-a") }); err != nil || len(healed) != 1 {
		t.Errorf("healing one: %v %v", healed, err)
	}
	if r := ask(t, l, "east-1-b", "10.2.1.10:8080", echo.UDP); r.Failed > 0 {
		t.Errorf("started again: %+v", r)
	}
	// What somebody mended by hand is healed without complaint.
	if err := l.Kill(t.Context(), "east-1-a", Responder, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Heal(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if all, err := l.Faults(); err != nil || len(all) > 0 {
		t.Errorf("after healing: %v %v", all, err)
	}
}
