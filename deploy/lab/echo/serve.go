// Package echo is the traffic of a lab: a responder that tells who answered
// and whom it saw, and a load that asks again and again and notes each answer.
//
// A pod of a lab runs Serve; a test or the demo runs Load.Run in a pod or in
// the client and draws its conclusions from the samples, with Summarize where
// shares and failures are enough. Neither knows how a request finds its way.
package echo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
)

// Pod is who answers.
type Pod struct {
	Cluster string `json:"cluster"`
	Node    string `json:"node"`
	Pod     string `json:"pod"`
}

// Answer is what a request gets back, as one line of JSON over HTTP and UDP.
type Answer struct {
	Pod
	// Client is the address and port that the responder saw.
	Client netip.AddrPort `json:"client"`
	// Payload is what a datagram held.
	Payload string `json:"payload,omitempty"`
}

// maxDatagram bounds a request over UDP; what is longer is cut.
const maxDatagram = 1024

// Serve answers over HTTP and UDP, on one port of every address of both
// families, until ctx ends.
func Serve(ctx context.Context, pod Pod, port uint16) error {
	var lc net.ListenConfig
	address := fmt.Sprintf(":%d", port)
	tcp, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	udp, err := lc.ListenPacket(ctx, "udp", address)
	if err != nil {
		return errors.Join(fmt.Errorf("listening: %w", err), tcp.Close())
	}
	return ServeOn(ctx, pod, tcp, udp.(*net.UDPConn))
}

// ServeOn answers on sockets that are there, and closes them.
func ServeOn(ctx context.Context, pod Pod, tcp net.Listener, udp *net.UDPConn) error {
	server := &http.Server{Handler: answerHTTP(pod), ReadHeaderTimeout: 10 * time.Second}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.Serve(tcp); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving HTTP: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		if err := answerUDP(pod, udp); ctx.Err() == nil {
			return fmt.Errorf("serving UDP: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		return errors.Join(server.Close(), udp.Close())
	})
	return group.Wait()
}

func answerHTTP(pod Pod) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(Answer{Pod: pod, Client: unmapped(client)}.line())
	})
}

// answerUDP returns when the socket is closed or fails.
func answerUDP(pod Pod, conn *net.UDPConn) error {
	buf := make([]byte, maxDatagram)
	for {
		n, client, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return err
		}
		a := Answer{Pod: pod, Client: unmapped(client), Payload: string(buf[:n])}
		// An answer that cannot be sent is the asker's loss, as on any network.
		conn.WriteToUDPAddrPort(a.line(), client)
	}
}

func (a Answer) line() []byte {
	out, err := json.Marshal(a)
	if err != nil {
		panic(fmt.Sprintf("an Answer that JSON cannot hold: %v", err)) // strings and an address always fit
	}
	return append(out, '\n')
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
