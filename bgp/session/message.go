package session

import (
	"bufio"
	"encoding/binary"
	"io"
)

// The types of messages (RFC 4271 4.1, RFC 2918).
const (
	typeOpen         = 1
	typeUpdate       = 2
	typeNotification = 3
	typeKeepalive    = 4
	typeRouteRefresh = 5
)

// Bounds of a message (RFC 4271 4.1). Longer messages (RFC 8654) are never
// agreed upon: GoBGP does not offer them.
const (
	headerLen  = 19
	maxMessage = 4096
)

// message is a whole message with its header, whose marker, length and type
// were found right.
type message []byte

func (m message) kind() byte   { return m[18] }
func (m message) body() []byte { return m[headerLen:] }

// build makes a message of a body.
func build(kind byte, body ...[]byte) message {
	m := make(message, headerLen)
	for i := range 16 {
		m[i] = 0xff
	}
	for _, b := range body {
		m = append(m, b...)
	}
	binary.BigEndian.PutUint16(m[16:], uint16(len(m)))
	m[18] = kind
	return m
}

// keepalive is the message that says nothing.
func keepalive() message { return build(typeKeepalive) }

// frame looks at a header and returns the length of its message. The error is
// a *Notification (RFC 4271 6.1).
func frame(h []byte) (int, error) {
	for _, b := range h[:16] {
		if b != 0xff {
			return 0, &Notification{Code: codeHeader, Subcode: 1}
		}
	}
	n, kind := int(binary.BigEndian.Uint16(h[16:])), h[18]
	if n < headerLen || n > maxMessage {
		return 0, &Notification{codeHeader, 2, clone(h[16:18])}
	}
	right := false
	switch kind {
	case typeOpen:
		right = n >= headerLen+10
	case typeUpdate:
		right = n >= headerLen+4
	case typeNotification:
		right = n >= headerLen+2
	case typeKeepalive:
		right = n == headerLen
	case typeRouteRefresh:
		right = n == headerLen+4
	default:
		return 0, &Notification{codeHeader, 3, []byte{kind}}
	}
	if !right {
		return 0, &Notification{codeHeader, 2, clone(h[16:18])}
	}
	return n, nil
}

// read returns the next message, which stays valid until the next call on r.
// The error is a *Notification if the message is none.
func read(r *bufio.Reader) (message, error) {
	h, err := r.Peek(headerLen)
	if err != nil {
		if err == io.EOF && len(h) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	n, err := frame(h)
	if err != nil {
		return nil, err
	}
	m, err := r.Peek(n)
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	_, err = r.Discard(n)
	return message(m), err
}

// buffered says whether r holds a whole message, so that read will not wait.
func buffered(r *bufio.Reader) bool {
	if r.Buffered() < headerLen {
		return false
	}
	h, err := r.Peek(headerLen)
	if err != nil {
		return false
	}
	n, err := frame(h)
	return err != nil || r.Buffered() >= n
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }
