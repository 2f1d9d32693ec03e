package session

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"
)

// The error codes of a NOTIFICATION (RFC 4271 4.5).
const (
	codeHeader    = 1
	codeOpen      = 2
	codeUpdate    = 3
	codeHoldTimer = 4
	codeFSM       = 5
	codeCease     = 6
)

// Subcodes of Cease (RFC 4486) that carry a text (RFC 9003).
const (
	ceaseShutdown     = 2
	ceaseDeconfigured = 3
	ceaseReset        = 4
	ceaseCollision    = 7
)

// Notification is the message that ends a session and says why.
type Notification struct {
	Code, Subcode uint8
	Data          []byte
}

// Shutdown is the cause with which the context of Run is cancelled when the
// session is to end for good: the router removes our routes at once. The text
// is for the router's operators (RFC 9003), at most 255 bytes of UTF-8.
func Shutdown(text string) error { return cease(ceaseShutdown, text) }

// Deconfigured is the cause with which the context of Run is cancelled when
// the peer was removed from our configuration.
func Deconfigured() error { return &Notification{Code: codeCease, Subcode: ceaseDeconfigured} }

func cease(subcode uint8, text string) *Notification {
	for len(text) > 255 || !utf8.ValidString(text) {
		_, last := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-last]
	}
	return &Notification{codeCease, subcode, append([]byte{byte(len(text))}, text...)}
}

// names are the words for a code and its subcodes (RFC 4271 4.5, 4486, 5492,
// 6608, 8538, 9384); a missing one is told by its number.
var names = map[uint8]struct {
	code string
	sub  map[uint8]string
}{
	codeHeader: {"message header error", map[uint8]string{
		1: "connection not synchronized", 2: "bad message length", 3: "bad message type"}},
	codeOpen: {"OPEN message error", map[uint8]string{
		1: "unsupported version number", 2: "bad peer AS", 3: "bad BGP identifier",
		4: "unsupported optional parameter", 6: "unacceptable hold time", 7: "unsupported capability"}},
	codeUpdate: {"UPDATE message error", map[uint8]string{
		1: "malformed attribute list", 2: "unrecognized well-known attribute",
		3: "missing well-known attribute", 4: "attribute flags error", 5: "attribute length error",
		6: "invalid ORIGIN", 8: "invalid NEXT_HOP", 9: "optional attribute error",
		10: "invalid network field", 11: "malformed AS_PATH"}},
	codeHoldTimer: {"hold timer expired", nil},
	codeFSM: {"finite state machine error", map[uint8]string{
		1: "unexpected message in OpenSent", 2: "unexpected message in OpenConfirm",
		3: "unexpected message in Established"}},
	codeCease: {"cease", map[uint8]string{
		1: "maximum number of prefixes reached", ceaseShutdown: "administrative shutdown",
		ceaseDeconfigured: "peer de-configured", ceaseReset: "administrative reset",
		5: "connection rejected", 6: "other configuration change",
		ceaseCollision: "connection collision resolution", 8: "out of resources",
		9: "hard reset", 10: "BFD down"}},
}

// Error returns the words for the notification.
func (n *Notification) Error() string {
	known, ok := names[n.Code]
	if !ok {
		return fmt.Sprintf("error %d/%d", n.Code, n.Subcode)
	}
	if n.Subcode == 0 {
		return known.code
	}
	sub, ok := known.sub[n.Subcode]
	if !ok {
		sub = fmt.Sprintf("subcode %d", n.Subcode)
	}
	if text := n.text(); text != "" {
		sub += fmt.Sprintf(" (%q)", text)
	}
	return known.code + ": " + sub
}

// text is what the router's operator wrote (RFC 9003). It is of the network's
// making: it is cleaned of what a terminal would obey.
func (n *Notification) text() string {
	if n.Code != codeCease || (n.Subcode != ceaseShutdown && n.Subcode != ceaseReset) || len(n.Data) < 1 {
		return ""
	}
	length := int(n.Data[0])
	if length > len(n.Data)-1 {
		return ""
	}
	return printable(n.Data[1 : 1+length])
}

func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(b), "�"))
}

func (n *Notification) message() message {
	return build(typeNotification, []byte{n.Code, n.Subcode}, n.Data)
}

// parseNotification takes a NOTIFICATION apart.
func parseNotification(m message) *Notification {
	b := m.body()
	return &Notification{b[0], b[1], clone(b[2:])}
}

// dialReason says in words for an operator why no connection came about.
func dialReason(c Config, err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("connection refused: nothing accepts BGP at %s", c.Router)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fmt.Sprintf("no way to %s: %s", c.Router.Addr(), errno(err))
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Sprintf("source address %s is not on this node", c.Source)
	case errors.Is(err, syscall.ENODEV):
		return fmt.Sprintf("device %s is not on this node", c.Device)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		if c.Password != "" {
			return "no TCP answer: the router is away or has another MD5 key"
		}
		return "no TCP answer: the router is away or wants an MD5 key"
	}
	return err.Error()
}

// endReason says why a connection that existed ended without a NOTIFICATION.
func endReason(err error) string {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the router closed the connection"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ECONNABORTED), errors.Is(err, syscall.EPIPE):
		return "the connection was reset"
	case errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, os.ErrDeadlineExceeded):
		return "the router no longer acknowledges what is sent"
	}
	return err.Error()
}

// errno returns the kernel's words for an error, without Go's around them.
func errno(err error) string {
	var n syscall.Errno
	if errors.As(err, &n) {
		return n.Error()
	}
	return err.Error()
}
