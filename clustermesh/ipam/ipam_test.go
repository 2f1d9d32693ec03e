package ipam

import (
	"strings"
	"testing"
	"time"
)

// rest is how long addresses rest in the tests.
const restTime = 30 * time.Second

func TestAllocate(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"the lowest that is free, the oldest service first",
			`pool a 192.0.2.1-192.0.2.9; svc web at=20; svc api at=10; svc db at=30`,
			`api 192.0.2.1(a)|db 192.0.2.3(a)|web 192.0.2.2(a)`},
		{"ranges one after the other", `pool a 192.0.2.9-192.0.2.9,198.51.100.0/31; svc a; svc b; svc c; svc d`,
			`a 192.0.2.9(a)|b 198.51.100.0(a)|c 198.51.100.1(a)|d pending PoolFull`},
		{"a whole IPv6 network", `pool a fd00::/64; svc a fam=v6; svc b fam=v6`, `a fd00::(a)|b fd00::1(a)`},
		{"the last address there is", `pool a 255.255.255.255-255.255.255.255; svc a; svc b`, `a 255.255.255.255(a)|b pending PoolFull`},
		{"no pool", `svc a`, `a pending NoPool`},
		{"no pool of the family", `pool a 192.0.2.0/24; svc a fam=v6`, `a pending NoPool`},
		{"any family: IPv4 first", `pool a fd00::/64,192.0.2.1-192.0.2.1; svc a fam=any; svc b fam=any`, `a 192.0.2.1(a)|b fd00::(a)`},
		{"any family of none", `svc a fam=any`, `a pending NoPool`},
		{"any family of a full pool", `pool a 192.0.2.1-192.0.2.1; svc a; svc b fam=any`, `a 192.0.2.1(a)|b pending PoolFull`},
		{"another pool when one is full", `pool a 192.0.2.1-192.0.2.1; pool b 198.51.100.1-198.51.100.1; svc a; svc b; svc c`,
			`a 192.0.2.1(a)|b 198.51.100.1(b)|c pending PoolFull`},
		{"a pool that waits to be named", `pool a 192.0.2.0/24 noauto; svc a; svc b names=192.0.2.7`, `a pending NoPool|b 192.0.2.7(a)`},

		{"buggy addresses", `pool a 192.0.2.254-192.0.3.1 avoid; svc a; svc b; svc c; svc d names=192.0.3.0`,
			`a 192.0.2.254(a)|b 192.0.3.1(a)|c pending PoolFull|d pending Avoided`},
		{"IPv6 has none", `pool a fd00::/126 avoid; svc a fam=v6`, `a fd00::(a)`},

		{"selectors of services: a pool that chooses comes first",
			`pool a 192.0.2.0/24; pool z 198.51.100.0/24 for:tier=web; svc web tier=web; svc db tier=db`,
			`db 192.0.2.0(a)|web 198.51.100.0(z)`},
		{"selectors of namespaces", `pool a 192.0.2.0/24 in:team=x; ns shop team=x; svc web; svc ops/db`, `ops/db pending NoPool|web 192.0.2.0(a)`},
		{"a namespace has its name", `pool a 192.0.2.0/24 in:kubernetes.io/metadata.name=shop; svc web; svc ops/db`, `ops/db pending NoPool|web 192.0.2.0(a)`},
		{"a namespace gets its label", `pool a 192.0.2.0/24 in:team=x; svc web; at 1001; ns shop team=x`, `web 192.0.2.0(a)`},
		{"a service is no longer selected, and keeps what it has", `pool a 192.0.2.0/24 for:tier=web; svc web tier=web; at 1001; svc web tier=db`, `web 192.0.2.0(a) Kept`},

		{"dual stack", `pool a 192.0.2.0/24,fd00::/64; svc a fam=dual; svc b fam=prefer; svc c fam=v6`,
			`a 192.0.2.0(a) fd00::(a)|b 192.0.2.1(a) fd00::1(a)|c fd00::2(a)`},
		{"dual stack of two pools", `pool a 192.0.2.0/24; pool b fd00::/64; svc a fam=dual`, `a 192.0.2.0(a) fd00::(b)`},
		{"both or none", `pool a 192.0.2.0/24; svc a fam=dual`, `a pending NoPool`},
		{"rather both", `pool a 192.0.2.0/24; svc a fam=prefer`, `a 192.0.2.0(a)`},
		{"rather both, and one is full", `pool a 192.0.2.0/24,fd00::-fd00::; svc a fam=v6; svc b fam=prefer at=2`, `a fd00::(a)|b 192.0.2.0(a) PoolFull`},
		{"rather both, of no pool", `svc a fam=prefer`, `a pending NoPool NoPool`},
		{"both, once they are there", `pool a 192.0.2.0/24; svc a fam=dual; at 1001; pool b fd00::/64`, `a 192.0.2.0(a) fd00::(b)`},
		{"the second family later", `pool a 192.0.2.0/24; svc a fam=prefer; at 1001; pool b fd00::/64`, `a 192.0.2.0(a) fd00::(b)`},
		{"a family less", `pool a 192.0.2.0/24,fd00::/64; svc a fam=dual; at 1001; svc a fam=v6`, `a fd00::(a)`},

		{"named", `pool a 192.0.2.0/24; svc a names=192.0.2.7`, `a 192.0.2.7(a)`},
		{"named, several", `pool a 192.0.2.0/24; svc a names=192.0.2.9,192.0.2.7`, `a 192.0.2.9(a) 192.0.2.7(a)`},
		{"named in one family, chosen in the other", `pool a 192.0.2.0/24,fd00::/64; svc a fam=dual names=192.0.2.7`, `a 192.0.2.7(a) fd00::(a)`},
		{"named in no pool", `pool a 192.0.2.0/24; svc a names=198.51.100.1`, `a pending NotInPool`},
		{"named in a pool for others", `pool a 192.0.2.0/24 for:tier=web; svc a names=192.0.2.7`, `a pending NotSelected`},
		{"named in the wrong family", `pool a fd00::/64; svc a names=fd00::1`, `a pending WrongFamily NoPool`},
		{"two name the same: the older", `pool a 192.0.2.0/24; svc a at=20 names=192.0.2.7; svc b at=10 names=192.0.2.7`,
			`a pending Conflict|b 192.0.2.7(a) Claimed`},
		{"who has it keeps it, however old the other is", `pool a 192.0.2.0/24; svc a at=20; at 1001; svc b at=10 names=192.0.2.0`,
			`a 192.0.2.0(a) Claimed|b pending Conflict`},
		{"the loser gets it after the rest", `pool a 192.0.2.0/24; svc a at=20; at 1001; svc b names=192.0.2.0; at 1002; gone a; at 1020`, `b pending Resting`},
		{"and then has it", `pool a 192.0.2.0/24; svc a at=20; at 1001; svc b names=192.0.2.0; at 1002; gone a; at 1032`, `b 192.0.2.0(a)`},
		{"one of several is refused, the other given", `pool a 192.0.2.0/24; svc a names=192.0.2.7,198.51.100.1`, `a 192.0.2.7(a) pending NotInPool`},
		{"another name: the new one instead", `pool a 192.0.2.0/24; svc a; at 1001; svc a names=192.0.2.9`, `a 192.0.2.9(a)`},
		{"another name that is refused: the old one stays", `pool a 192.0.2.0/24; svc a; at 1001; svc a names=198.51.100.1`, `a 192.0.2.0(a) pending NotInPool`},
		{"no name any more: what there is stays", `pool a 192.0.2.0/24; svc a names=192.0.2.9; at 1001; svc a`, `a 192.0.2.9(a)`},

		{"sharing: a key is enough", `pool a 192.0.2.0/24; svc a key=k ports=80; svc b key=k ports=443; svc c key=l ports=25`,
			`a 192.0.2.0(a)|b 192.0.2.0(a)|c 192.0.2.1(a)`},
		{"sharing: ports clash", `pool a 192.0.2.0/24; svc a key=k ports=80; svc b key=k ports=80,443; svc c key=k ports=443`,
			`a 192.0.2.0(a)|b 192.0.2.1(a)|c 192.0.2.0(a)`},
		{"sharing by name", `pool a 192.0.2.0/24; svc a key=k ports=80 names=192.0.2.5; svc b key=k ports=443 names=192.0.2.5; svc c ports=22 names=192.0.2.5`,
			`a 192.0.2.5(a) Claimed|b 192.0.2.5(a)|c pending Conflict`},
		{"sharing: another namespace must be let", `pool a 192.0.2.0/24; svc a key=k ports=80 names=192.0.2.5; svc ops/b at=2 key=k ports=443 names=192.0.2.5`,
			`a 192.0.2.5(a) Claimed|ops/b pending Conflict`},
		{"sharing: both let each other", `pool a 192.0.2.0/24; svc a lets=ops key=k ports=80 at=2; svc ops/b lets=* key=k ports=443 at=3`,
			`a 192.0.2.0(a)|ops/b 192.0.2.0(a)`},
		{"sharing: not under policy Local", `pool a 192.0.2.0/24; svc a key=k ports=80 local; svc b key=k ports=443`, `a 192.0.2.0(a)|b 192.0.2.1(a)`},
		{"a port that comes to clash: the younger moves", `pool a 192.0.2.0/24; svc a key=k ports=80; svc b key=k ports=443; at 1001; svc a key=k ports=80,443`,
			`a 192.0.2.0(a)|b 192.0.2.1(a)`},
		{"one of two is gone: no rest for the other", `pool a 192.0.2.0/24; svc a key=k ports=80; svc b key=k ports=443; at 1001; gone a; svc c key=k ports=80`,
			`b 192.0.2.0(a)|c 192.0.2.0(a)`},

		{"pools overlap: the younger gives nothing out", `pool a 192.0.2.0/24 at=9; pool b 192.0.2.128/25 at=5; svc a; svc b names=192.0.2.1`,
			`a 192.0.2.128(b)|b pending PoolConflict`},
		{"only a pool that overlaps", `pool a 192.0.2.0/24 at=9 ; pool b 192.0.2.128/25 at=5 for:tier=web; svc a`, `a pending PoolConflict`},
		{"overlap mended", `pool a 192.0.2.0/24 at=9; pool b 192.0.2.128/25 at=5 for:tier=web; svc a; at 1001; nopool b`, `a 192.0.2.0(a)`},
		{"overlap comes while in use", `pool a 192.0.2.0/24 at=9; svc a; at 1001; pool b 192.0.2.0/25 at=5`, `a 192.0.2.0(b)`},

		{"shrunk", `pool a 192.0.2.0/24; svc a; at 1001; pool a 192.0.2.8/29`, `a 192.0.2.0(a) Kept`},
		{"gone", `pool a 192.0.2.0/24; svc a; at 1001; nopool a`, `a 192.0.2.0(a) Kept`},
		{"shrunk, and named", `pool a 192.0.2.0/24; svc a names=192.0.2.0; at 1001; pool a 192.0.2.8/29`, `a 192.0.2.0(a) Kept`},
		{"grown under those who wait", `pool a 192.0.2.0-192.0.2.0; svc a; svc b; at 1001; pool a 192.0.2.0/24`, `a 192.0.2.0(a)|b 192.0.2.1(a)`},

		{"an address rests", `pool a 192.0.2.0/31; svc a; svc b; at 1001; gone a; svc c; at 1030`, `b 192.0.2.1(a)|c pending PoolFull`},
		{"and is given again", `pool a 192.0.2.0/31; svc a; svc b; at 1001; gone a; svc c; at 1031`, `b 192.0.2.1(a)|c 192.0.2.0(a)`},
		{"who had it may have it at once", `pool a 192.0.2.0/24; svc a; svc b; at 1001; gone a; at 1002; svc a`, `a 192.0.2.0(a)|b 192.0.2.1(a)`},
		{"unless somebody waits for it, who has the older claim", `pool a 192.0.2.0/24; svc a; at 1001; svc b names=192.0.2.0; at 1002; gone a; at 1003; svc a; at 1050`, `a 192.0.2.1(a)|b 192.0.2.0(a)`},
		{"the lowest of those that came back", `pool a 192.0.2.0/24; svc a; svc b; svc c; at 1001; gone b; at 1002; gone a; at 1100; svc d; svc e; svc f`,
			`c 192.0.2.2(a)|d 192.0.2.0(a)|e 192.0.2.1(a)|f 192.0.2.3(a)`},

		{"stored", `stored 192.0.2.9 a web since=5; pool a 192.0.2.0/24; svc web; svc api`, `api 192.0.2.0(a)|web 192.0.2.9(a)`},
		{"stored, of a service that is not told of", `stored 192.0.2.0 a web since=5; pool a 192.0.2.0/24; svc api`, `api 192.0.2.1(a)`},
		{"what is stored goes before a status", `stored 192.0.2.9 a web since=5; pool a 192.0.2.0/24; svc web has=192.0.2.3`, `web 192.0.2.9(a)`},
		{"a status is read back before anything is given", `lost; pool a 192.0.2.0/24; svc a at=10; svc b at=20 has=192.0.2.0`, `a 192.0.2.1(a)|b 192.0.2.0(a)`},
		{"two statuses say the same: the older", `lost; pool a 192.0.2.0/24; svc a at=20 has=192.0.2.5; svc b at=10 has=192.0.2.5`, `a 192.0.2.0(a)|b 192.0.2.5(a)`},
		{"a status goes before an older service that names the address", `lost; pool a 192.0.2.0/24; svc a at=10 names=192.0.2.5; svc b at=20 has=192.0.2.5`, `a pending Conflict|b 192.0.2.5(a) Claimed`},
		{"what a status says does not rest", `lost; stored 192.0.2.5 a old since=5; pool a 192.0.2.0/24; gone old; svc a at=10 has=192.0.2.5`, `a 192.0.2.5(a)`},
		{"a clock that is behind takes nothing away", `stored 192.0.2.5 a web since=1500; pool a 192.0.2.0/24; svc web; svc api names=192.0.2.5`, `api pending Conflict|web 192.0.2.5(a) Claimed`},
		{"a status outside of all pools is kept", `lost; pool a 192.0.2.0/24; svc a has=198.51.100.7`, `a 198.51.100.7() Kept`},

		{"by hand, without a pool", `svc a hand=192.0.2.1`, `a 192.0.2.1()`},
		{"by hand, in a pool: to nobody else", `pool a 192.0.2.1-192.0.2.2 for:tier=web; svc a hand=192.0.2.1; svc b tier=web; svc c tier=web`,
			`a 192.0.2.1(a)|b 192.0.2.2(a)|c pending PoolFull`},
		{"by hand, twice", `svc a hand=192.0.2.1; svc b hand=192.0.2.1`, `a 192.0.2.1()|b 192.0.2.1()`},
		{"by hand what another has: both", `pool a 192.0.2.0/24; svc a; at 1001; svc b hand=192.0.2.0`, `a 192.0.2.0(a) Claimed|b 192.0.2.0(a) Claimed`},
		{"by hand one family, the pool the other", `pool a fd00::/64; svc a fam=prefer hand=192.0.2.1`, `a 192.0.2.1() fd00::(a)`},
		{"no longer by hand", `pool a 192.0.2.0/24; svc a hand=198.51.100.1; at 1001; svc a`, `a 192.0.2.0(a)`},

		{"mesh: nothing is chosen", `pool m 192.0.2.0/24 mesh; svc a; svc b names=192.0.2.7`, `a pending NoPool|b 192.0.2.7(m)`},
		{"mesh: a name less, an address less", `pool m 192.0.2.0/24 mesh; svc b names=192.0.2.7; at 1001; svc b`, `b pending NoPool`},
		{"mesh: a pool becomes one under what it chose", `pool m 192.0.2.0/24; svc b; at 1001; pool m 192.0.2.0/24 mesh`, `b 192.0.2.0(m)`},
		{"mesh: the same service elsewhere is the same", `pool m 192.0.2.0/24 mesh; west web 192.0.2.7 since=5; svc web names=192.0.2.7`, `web 192.0.2.7(m)`},
		{"mesh: an older claim elsewhere", `pool m 192.0.2.0/24 mesh; west api 192.0.2.7 since=5; svc web names=192.0.2.7`, `web pending Conflict`},
		{"mesh: a younger claim elsewhere", `pool m 192.0.2.0/24 mesh; svc web names=192.0.2.7; at 1001; west api 192.0.2.7 since=1001`, `web 192.0.2.7(m) Claimed`},
		{"mesh: an older claim comes to be known", `pool m 192.0.2.0/24 mesh; svc web names=192.0.2.7; at 1001; west api 192.0.2.7 since=5`, `web pending Conflict`},
		{"mesh: it goes", `pool m 192.0.2.0/24 mesh; svc web names=192.0.2.7; west api 192.0.2.7 since=5; at 1001; west - 192.0.2.7`, `web 192.0.2.7(m)`},
		{"mesh: sharing across clusters", `pool m 192.0.2.0/24 mesh; west api 192.0.2.7 since=5 key=k ports=80; svc web key=k ports=443 names=192.0.2.7; svc dup key=k ports=80 names=192.0.2.7`,
			`dup pending Conflict|web 192.0.2.7(m)`},
		{"mesh: our older namesake makes theirs ours", `pool m 192.0.2.0/24 mesh; west web 192.0.2.7 since=5; north api 192.0.2.7 since=7; svc web names=192.0.2.7`, `web 192.0.2.7(m) Claimed`},
		{"mesh: wait until others are known", `unsure; pool m 192.0.2.0/24 mesh; pool a 198.51.100.0/24; svc web names=192.0.2.7; svc api`, `api 198.51.100.0(a)|web pending Unsure`},
		{"mesh: what is stored is learned after what another claims, and is older", `west api 192.0.2.7 since=9; stored 192.0.2.7 m web since=5 named mesh; pool m 192.0.2.0/24 mesh; svc web names=192.0.2.7`, `web 192.0.2.7(m) Claimed`},
		{"mesh: what is stored is learned after what another claims, and is younger", `west api 192.0.2.7 since=3; stored 192.0.2.7 m web since=5 named mesh; pool m 192.0.2.0/24 mesh; svc web names=192.0.2.7`, `web pending Conflict`},
		{"another claims what is ours alone", `west api 192.0.2.7 since=3; stored 192.0.2.7 a web since=5; pool a 192.0.2.0/24; svc web; svc api`, `api 192.0.2.0(a)|web 192.0.2.7(a)`},
		{"stored twice: the first counts", `west api 192.0.2.7 since=3; stored 192.0.2.7 a web since=5; stored 192.0.2.7 a api since=4; pool a 192.0.2.0/24; svc web; svc api`, `api 192.0.2.0(a)|web 192.0.2.7(a)`},
		{"mesh: what one has is not waited for", `unsure; stored 192.0.2.7 m web since=5 named mesh; pool m 192.0.2.0/24 mesh; svc web names=192.0.2.7`, `web 192.0.2.7(m)`},
		{"mesh: a lost store takes no claim away", `lost; pool m 192.0.2.0/24 mesh; west api 192.0.2.7 since=500; svc web at=10 names=192.0.2.7 has=192.0.2.7`, `web 192.0.2.7(m) Claimed`},
		{"mesh: nor gives it one that it only names", `lost; pool m 192.0.2.0/24 mesh; west api 192.0.2.7 since=500; svc web at=10 names=192.0.2.7`, `web pending Conflict`},
		{"mesh: a clock that is behind takes nothing away", `pool m 192.0.2.0/24 mesh; west api 192.0.2.7 since=1500; svc web names=192.0.2.7`, `web pending Conflict`},
		{"nor end its rest", `pool a 192.0.2.0/32; svc web; at 1001; gone web; west web 192.0.2.0 since=5; svc api; at 1020`, `api pending PoolFull`},
		{"others' claims do not touch a pool of our own", `pool a 192.0.2.0/24; svc web; at 1001; west api 192.0.2.0 since=5`, `web 192.0.2.0(a)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.ReplaceAll(play(t, New(restTime), c.script, false), "\n", "|")
			if got != c.want {
				t.Errorf("%s\ngot  %s\nwant %s", c.script, got, c.want)
			}
		})
	}
}
