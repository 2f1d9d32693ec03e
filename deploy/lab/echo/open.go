package echo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Open is a load whose clients do not wait for one another: so many new
// connections begin each second whatever became of those before, and so many
// long ones are held and used. It is what shows how long a failure lasts.
type Open struct {
	Target netip.AddrPort
	// Rate is the new connections a second; each asks once and ends.
	Rate int
	// Hold is the number of long connections. Each asks every Beat, for as long as
	// it lasts, and is replaced when it breaks.
	Hold int
	Beat time.Duration
	// Timeout bounds a new connection from the first packet to the whole answer,
	// and the opening of a long one. What a long one waits for afterwards has no
	// bound: whether anybody tells it is the question.
	Timeout time.Duration
}

// Connection is what became of one connection.
type Connection struct {
	Long  bool      `json:"long,omitempty"`
	Start time.Time `json:"start"`
	// End is when the answer was whole or the connection failed; of a long one,
	// when it broke or the load ended.
	End time.Time `json:"end"`
	// Last is when a long connection had its last answer.
	Last time.Time `json:"last,omitzero"`
	// Pod answered, zero when nobody did.
	Pod Pod `json:"pod,omitzero"`
	// Error is a word as in Sample. A long connection that lasted as long as the
	// load has none.
	Error string `json:"error,omitempty"`
}

// reopen is the pause before a long connection that failed to open tries again.
const reopen = 20 * time.Millisecond

// Run goes on until ctx ends, and hands each connection to note when it has
// ended, by one goroutine at a time. New connections that ctx cuts off are left
// out; long ones that last until then are not.
func (o Open) Run(ctx context.Context, note func(Connection)) {
	ended := make(chan Connection, 64)
	var clients sync.WaitGroup
	for range o.Hold {
		clients.Go(func() { o.hold(ctx, ended) })
	}
	clients.Go(func() { o.begin(ctx, &clients, ended) })
	go func() {
		clients.Wait()
		close(ended)
	}()
	for c := range ended {
		note(c)
	}
}

// begin begins new connections at their rate. What the clock or this process was
// late for is made up at once, so that the rate holds.
func (o Open) begin(ctx context.Context, clients *sync.WaitGroup, ended chan<- Connection) {
	if o.Rate == 0 {
		return
	}
	tick := time.NewTicker(max(time.Millisecond, time.Second/time.Duration(o.Rate)))
	defer tick.Stop()
	started := time.Now()
	for begun := 0; ; {
		for due := int(time.Since(started).Seconds() * float64(o.Rate)); begun < due; begun++ {
			clients.Go(func() { o.once(ctx, ended) })
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// once makes one new connection.
func (o Open) once(ctx context.Context, ended chan<- Connection) {
	l := Load{Target: o.Target, Mode: HTTP, Timeout: o.Timeout}
	s, whole := l.sample(ctx, l.overHTTP(ctx), 0)
	if whole {
		ended <- Connection{Start: s.Start, End: s.End, Pod: s.Answer.Pod, Error: s.Error}
	}
}

// hold keeps one long connection after the other.
func (o Open) hold(ctx context.Context, ended chan<- Connection) {
	for ctx.Err() == nil {
		c := Connection{Long: true, Start: time.Now()}
		err := o.last(ctx, &c)
		if c.End = time.Now(); ctx.Err() == nil {
			c.Error = word(err)
		}
		if c.Error == "" && c.Pod == (Pod{}) {
			return // cut off while it opened
		}
		ended <- c
		if c.Pod == (Pod{}) {
			select {
			case <-ctx.Done():
			case <-time.After(reopen):
			}
		}
	}
}

// last uses one connection until it breaks.
func (o Open) last(ctx context.Context, c *Connection) error {
	d := net.Dialer{Timeout: o.Timeout}
	conn, err := d.DialContext(ctx, "tcp", o.Target.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	from := bufio.NewReader(conn)
	beat := time.NewTicker(o.Beat)
	defer beat.Stop()
	for {
		pod, err := askAgain(conn, from, o.Target)
		if err != nil {
			return err
		}
		c.Pod, c.Last = pod, time.Now()
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
	}
}

// askAgain makes a request on a connection that stays.
func askAgain(conn net.Conn, from *bufio.Reader, target netip.AddrPort) (Pod, error) {
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", target); err != nil {
		return Pod{}, err
	}
	r, err := http.ReadResponse(from, nil)
	if err != nil {
		return Pod{}, err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return Pod{}, err
	}
	a, err := parse(body, "")
	return a.Pod, err
}
