package etcd_test

import (
	"testing"

	"tombolo.io/tombolo/internal/etcdtest"
)

func TestWatchFollows(t *testing.T) {
	s := etcdtest.New(t)
	c := s.Dial()
	e := epochOf(t, c)
	etcdtest.Put(t, c, "t/a/1", "x", "t/a/2", "y", "t/free1", "f")
	r := read(t, c)
	r.until("free1=f -a")
	etcdtest.Put(t, c, "t/a/1", "x2", "t/synced/a", e+"/1")
	r.until("a/1=x2 a/2=y free1=f +a")
	etcdtest.Put(t, c, "t/a/3", "z", "t/a/1", "bad")
	r.until("a/1=x2 a/2=y a/3=z free1=f !a/1 +a")
	etcdtest.Put(t, c, "t/a/1", "good")
	etcdtest.Delete(t, c, "t/a/2", "t/free1")
	r.until("a/1=good a/3=z +a")
	etcdtest.Put(t, c, "t/synced/b", e+"/1")
	r.until("a/1=good a/3=z +a +b")

	// Without its marker the table is frozen, and thaws with the difference.
	etcdtest.Delete(t, c, "t/synced/a")
	r.until("a/1=good a/3=z -a +b")
	etcdtest.Put(t, c, "t/a/4", "w")
	etcdtest.Delete(t, c, "t/a/3")
	r.settled()
	etcdtest.Put(t, c, "t/synced/a", "another/1")
	r.settled()
	etcdtest.Put(t, c, "t/synced/a", e+"/2")
	r.until("a/1=good a/4=w +a +b")
	etcdtest.Put(t, c, "t/synced/a", e+"/3")
	r.settled()

	// A new epoch freezes everything until markers name it.
	etcdtest.Put(t, c, etcdtest.EpochKey, "two")
	r.until("a/1=good a/4=w -a -b")
	etcdtest.Delete(t, c, "t/a/4")
	etcdtest.Put(t, c, "t/synced/a", "two/1")
	r.until("a/1=good +a -b")
}
