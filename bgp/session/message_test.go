package session

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

const marker = "ffffffff ffffffff ffffffff ffffffff"

func TestFrame(t *testing.T) {
	for _, c := range []struct{ name, header, want string }{
		{"keepalive", marker + "0013 04", "19"},
		{"longest", marker + "1000 02", "4096"},
		{"marker", "ffffffff ffffffff ffffffff fffffffe 0013 04", "1/1 "},
		{"too short", marker + "0012 04", "1/2 0012"},
		{"too long", marker + "1001 02", "1/2 1001"},
		{"unknown type 6, even before OPEN (gobgp 3325)", marker + "0013 06", "1/3 06"},
		{"type 0", marker + "0013 00", "1/3 00"},
		{"type 128, Cisco's route refresh", marker + "0017 80", "1/3 80"},
		{"keepalive with a body", marker + "0014 04", "1/2 0014"},
		{"OPEN without the length of its parameters", marker + "001c 01", "1/2 001c"},
		{"UPDATE without its lengths", marker + "0016 02", "1/2 0016"},
		{"NOTIFICATION without subcode", marker + "0014 03", "1/2 0014"},
		{"ROUTE-REFRESH with an ORF", marker + "0020 05", "1/2 0020"},
	} {
		n, err := frame(unhex(t, c.header))
		if got := outcome(n, err); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestReadSplitsAStream(t *testing.T) {
	stream := join(theRouter(), keepalive(), build(typeNotification, []byte{6, 2}))
	r := bufio.NewReaderSize(&oneByte{bytes.NewReader(stream)}, bufferSize)
	var kinds []byte
	for {
		m, err := read(r)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, m.kind())
	}
	if !bytes.Equal(kinds, []byte{typeOpen, typeKeepalive, typeNotification}) {
		t.Errorf("got types %v", kinds)
	}
	for _, n := range []int{1, headerLen, headerLen + 1} {
		r := bufio.NewReaderSize(bytes.NewReader(theRouter()[:n]), bufferSize)
		if _, err := read(r); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a stream cut after %d bytes: %v", n, err)
		}
	}
}

func TestBuffered(t *testing.T) {
	m := theRouter()
	for n, want := range map[int]bool{0: false, headerLen - 1: false, headerLen: false, len(m) - 1: false, len(m): true} {
		r := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(m[:n]), &never{t}), bufferSize)
		if n > 0 {
			r.Peek(n)
		}
		if got := buffered(r); got != want {
			t.Errorf("%d bytes of %d: buffered is %v", n, len(m), got)
		}
	}
}

// oneByte delivers a stream byte by byte.
type oneByte struct{ r io.Reader }

func (o *oneByte) Read(b []byte) (int, error) { return o.r.Read(b[:1]) }

// never is a stream on which reading would block.
type never struct{ t *testing.T }

func (n *never) Read([]byte) (int, error) {
	n.t.Error("it waits for more")
	return 0, io.EOF
}

func TestNotificationText(t *testing.T) {
	for _, c := range []struct {
		n    *Notification
		want string
	}{
		{&Notification{Code: codeHoldTimer}, "hold timer expired"},
		{&Notification{Code: codeOpen, Subcode: 2}, "OPEN message error: bad peer AS"},
		{&Notification{Code: codeCease, Subcode: 42}, "cease: subcode 42"},
		{&Notification{Code: 77, Subcode: 1}, "error 77/1"},
		{&Notification{codeCease, ceaseShutdown, []byte("\x05reset")}, `cease: administrative shutdown ("reset")`},
		{&Notification{codeCease, ceaseShutdown, []byte("\x09reset")}, "cease: administrative shutdown"},
		{&Notification{codeCease, ceaseReset, []byte("\x04\x1b[2J")}, `cease: administrative reset ("[2J")`},
	} {
		if got := c.n.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestShutdownTextIsCutBetweenRunes(t *testing.T) {
	n := Shutdown(strings.Repeat("ä", 200)).(*Notification)
	if len(n.Data) != 255 || n.Data[0] != 254 || !strings.HasSuffix(n.text(), "ää") {
		t.Errorf("%d bytes, text %q", len(n.Data), n.text())
	}
	if got := parseNotification(n.message()).Error(); got != n.Error() {
		t.Errorf("read back as %q", got)
	}
}
