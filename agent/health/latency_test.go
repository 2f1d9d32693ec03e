package health

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// One asks; those who answer are in the map, the others are named.
func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := newChat()
		s := start(t, Config{RunDir: t.TempDir(), Mode: On}, pool)
		defer s.stop()
		pool.members <- []string{"east-1", "east-2", "east-3"}
		s.after(time.Second)
		var got *Latency
		ask := func() (done chan struct{}) {
			done = make(chan struct{})
			go func() {
				defer close(done)
				var err error
				if got, err = s.Latency(t.Context()); err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait()
			return done
		}
		done := ask()
		asked := pool.said[len(pool.said)-1]
		if len(asked) != 9 || asked[0] != question {
			t.Fatalf("it asked %x", asked)
		}
		number := Message{Payload: asked}.Payload[1:]
		answers := appendAnswers(0, []Distance{{"west", "west-1", 3 * time.Millisecond}})
		copy(answers[0][1:], number)
		pool.received <- Message{"east-9", answers[0]} // nobody asked it
		pool.received <- Message{"east-2", answers[0][:len(answers[0])-1]}
		pool.received <- Message{"east-2", answers[0]}
		pool.received <- Message{"east-2", answers[0]} // once more
		began := time.Now()
		<-done
		if waited := time.Since(began); waited < time.Second || waited > 2*time.Second {
			t.Errorf("it waited %v for who does not answer", waited)
		}
		if len(got.From) != 2 || got.From[0].Node != "east-1" || len(got.From[0].To) != 3 || !slices.Equal(got.Missing, []string{"east-3"}) {
			t.Errorf("%+v", got)
		}
		if want := (Distances{"east-2", []Distance{{"west", "west-1", 3 * time.Millisecond}}}); !reflect.DeepEqual(got.From[1], want) {
			t.Errorf("got %+v, want %+v", got.From[1], want)
		}
		// It answers others; a flood of questions does not make it remember more than it may.
		for i := range 3 * maxOwed {
			pool.received <- Message{"east-2", []byte{question, 0, 0, 0, 0, 0, 0, 0, byte(i)}}
		}
		s.after(time.Second)
		if n := len(pool.sent); n < maxOwed || n > 3*maxOwed || pool.sent[0].From != "east-2" {
			t.Errorf("%d answers", n)
		}
		total, mine, err := parseAnswer(pool.sent[0].Payload)
		if err != nil || total != 3 || len(mine) != 3 || mine[0].RTT < time.Millisecond {
			t.Errorf("%d %+v, %v", total, mine, err)
		}
		// Alone it tells what it knows itself, at once.
		pool.members <- nil
		s.after(time.Millisecond)
		began = time.Now()
		<-ask()
		if time.Since(began) != 0 || len(got.From) != 1 || len(got.Missing) != 0 {
			t.Errorf("%+v after %v", got, time.Since(began))
		}
	})
}

func TestAnswers(t *testing.T) {
	var all []Distance
	for i := range maxEntries {
		all = append(all, Distance{"west", fmt.Sprintf("a-node-with-a-long-name-%d", i), time.Duration(i) * time.Microsecond})
	}
	var got []Distance
	parts := appendAnswers(7, all)
	for _, b := range parts {
		total, entries, err := parseAnswer(b)
		if err != nil || total != len(all) {
			t.Fatalf("%d, %v", total, err)
		}
		got = append(got, entries...)
	}
	if !slices.Equal(got, all) || len(parts) < 10 {
		t.Errorf("%d parts, %d entries", len(parts), len(got))
	}
	if parts := appendAnswers(7, nil); len(parts) != 1 || len(parts[0]) != answerHeader {
		t.Errorf("nothing is %x", parts)
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add(appendAnswers(7, []Distance{{"west", "west-1", time.Second}})[0])
	f.Add([]byte{answerKind})
	f.Fuzz(func(t *testing.T, b []byte) {
		total, entries, err := parseAnswer(b)
		if err == nil && (len(entries) > total || total > maxEntries) {
			t.Errorf("%d of %d", len(entries), total)
		}
	})
}
