package outlier

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

var epoch = time.Unix(1_700_000_000, 0)

// host n is 1 to 9, of cluster 1 when odd and 2 when even.
func host(n int) Host {
	return Host{uint16(2 - n%2), netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), 8080)}
}

func settings() clustermesh.OutlierDetection {
	return clustermesh.OutlierDetection{
		ConsecutiveFailures: 3, BaseEjectionTime: 30 * time.Second, MaxEjectionTime: 100 * time.Second, MaxEjectionPercent: 50,
	}
}

// play runs a script, an event a line, "SECONDS WHAT", and returns what came of
// it. WHAT is one of
//
//	hosts N...     these are the hosts
//	N fails TIMES  in a row
//	ends           what ends by now
//
// and after each line stands who is ejected, with the seconds that are left.
func play(t *testing.T, script string) string {
	t.Helper()
	var d Detector
	var out strings.Builder
	for line := range strings.SplitSeq(strings.TrimSpace(script), "\n") {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		now := epoch.Add(time.Duration(number(t, f[0])) * time.Second)
		result := ""
		switch {
		case f[1] == "hosts":
			var hosts []Host
			for _, n := range f[2:] {
				hosts = append(hosts, host(number(t, n)))
			}
			result = names(d.Set(now, settings(), hosts))
		case f[1] == "ends":
			result = names(d.Expire(now))
		default:
			result = [...]string{"nothing", "ejected", "overflow"}[d.Fail(now, host(number(t, f[1])), number(t, f[3]), "refused")]
		}
		fmt.Fprintf(&out, "%s: %s:", strings.TrimSpace(line), result)
		for _, e := range d.Ejections() {
			fmt.Fprintf(&out, " %s %vs", names([]Host{e.Host}), e.Until.Sub(now).Seconds())
		}
		out.WriteString("\n")
	}
	return out.String()
}

func number(t *testing.T, s string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatalf("reading a number: %v", err)
	}
	return n
}

func names(hosts []Host) string {
	var out []string
	for _, h := range hosts {
		out = append(out, fmt.Sprint(h.Address.Addr().As4()[3]))
	}
	return strings.Join(out, ",")
}

func TestScripts(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"a run of failures ejects, for longer each time", `
0 hosts 1 2 3 4
1 1 fails 2
1 1 fails 3
2 1 fails 9 # it is out already
30 ends
31 ends
32 1 fails 3
92 ends
93 1 fails 3
183 ends
184 1 fails 3 # bounded
284 ends`, `
0 hosts 1 2 3 4: :
1 1 fails 2: nothing:
1 1 fails 3: ejected: 1 30s
2 1 fails 9: nothing: 1 29s
30 ends: : 1 1s
31 ends: 1:
32 1 fails 3: ejected: 1 60s
92 ends: 1:
93 1 fails 3: ejected: 1 90s
183 ends: 1:
184 1 fails 3: ejected: 1 100s
284 ends: 1:`},
		{"who stands is forgiven, an ejection each ten seconds", `
0 hosts 1 2
0 1 fails 3
30 ends
30 1 fails 3
90 ends
100 1 fails 3 # two, less one
160 ends
999 1 fails 3`, `
0 hosts 1 2: :
0 1 fails 3: ejected: 1 30s
30 ends: 1:
30 1 fails 3: ejected: 1 60s
90 ends: 1:
100 1 fails 3: ejected: 1 60s
160 ends: 1:
999 1 fails 3: ejected: 1 30s`},
		{"half at most, and the only one never", `
0 hosts 1
0 1 fails 3
0 hosts 1 2 3
0 1 fails 3
0 2 fails 3
0 hosts 1 2 3 4
1 2 fails 4
1 3 fails 3`, `
0 hosts 1: :
0 1 fails 3: overflow:
0 hosts 1 2 3: :
0 1 fails 3: ejected: 1 30s
0 2 fails 3: overflow: 1 30s
0 hosts 1 2 3 4: : 1 30s
1 2 fails 4: ejected: 1 29s 2 30s
1 3 fails 3: overflow: 1 29s 2 30s`},
		{"when hosts go, the oldest ejections end", `
0 hosts 1 2 3 4 5 6
0 1 fails 3
1 2 fails 3
2 3 fails 3
3 hosts 1 2 3 4
4 hosts 3 4
5 hosts 4
6 hosts 3 4 # it was forgotten
7 3 fails 3`, `
0 hosts 1 2 3 4 5 6: :
0 1 fails 3: ejected: 1 30s
1 2 fails 3: ejected: 1 29s 2 30s
2 3 fails 3: ejected: 1 28s 3 30s 2 29s
3 hosts 1 2 3 4: 1: 3 29s 2 28s
4 hosts 3 4: : 3 28s
5 hosts 4: :
6 hosts 3 4: :
7 3 fails 3: ejected: 3 30s`},
		{"a stranger is nobody", `
0 hosts 1 2
0 3 fails 9`, `
0 hosts 1 2: :
0 3 fails 9: nothing:`},
	} {
		if got := play(t, c.script); strings.TrimSpace(got) != strings.TrimSpace(c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// Whatever comes, goes and fails: never more than the percentage is ejected, only
// hosts are, nobody for longer than the maximum, and Next is when the first ends.
func TestWhatNeverHappens(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var d Detector
		now := epoch
		s := settings()
		var hosts []Host
		for range 300 {
			now = now.Add(time.Duration(r.IntN(8000)) * time.Millisecond)
			if r.IntN(10) == 0 {
				hosts = hosts[:0]
				for n := range 10 {
					if r.IntN(3) > 0 {
						hosts = append(hosts, host(n))
					}
				}
				s.MaxEjectionPercent = uint8(1 + r.IntN(50))
				s.BaseEjectionTime = time.Duration(1+r.IntN(60)) * time.Second
				d.Set(now, s, hosts)
			}
			before := len(d.Ejections())
			switch d.Fail(now, host(r.IntN(10)), r.IntN(5), "silent") {
			case Ejected:
				before++
			case Overflow:
				if (before+1)*100 <= len(hosts)*int(s.MaxEjectionPercent) {
					t.Fatalf("seed %d: with %d of %d ejected there is room for one more", seed, before, len(hosts))
				}
			}
			back := d.Expire(now)
			all := d.Ejections()
			if len(all) != before-len(back) || len(all)*100 > len(hosts)*int(s.MaxEjectionPercent) {
				t.Fatalf("seed %d: %d of %d are ejected, %d before of which %v are back", seed, len(all), len(hosts), before, back)
			}
			next, found := d.Next()
			for _, e := range all {
				if !slices.Contains(hosts, e.Host) || !e.Until.After(now) || e.Until.Sub(e.Since) > s.MaxEjectionTime {
					t.Fatalf("seed %d: %+v at %v, hosts %v", seed, e, now, hosts)
				}
				if !found || e.Until.Before(next) {
					t.Fatalf("seed %d: the next is %v %v, before %+v", seed, next, found, e)
				}
			}
		}
	}
}
