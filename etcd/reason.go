package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxNamed bounds how many endpoints one reason names.
const maxNamed = 3

// explain says why a request to a store ended with err, whose endpoints cannot be
// reached as errs say. Endpoints with the same reason stand together.
func explain(endpoints []string, errs []error, err error) error {
	var reasons []string
	of := map[string][]string{}
	for i, e := range endpoints {
		var why string
		switch {
		case errs[i] != nil:
			why = reason(errs[i])
		case lost(err) && slices.ContainsFunc(errs, func(err error) bool { return err != nil }):
			why = "it takes connections" // err is of another
		default:
			why = unserved(err)
		}
		if of[why] == nil {
			reasons = append(reasons, why)
		}
		of[why] = append(of[why], e)
	}
	parts := make([]string, len(reasons))
	for i, why := range reasons {
		parts[i] = fmt.Sprintf("etcd at %s: %s", named(of[why]), why)
	}
	return explained{strings.Join(parts, "; "), err}
}

// explained is an error with the reasons for it in its place.
type explained struct {
	text string
	err  error
}

func (e explained) Error() string { return e.text }
func (e explained) Unwrap() error { return e.err }

// named lists endpoints, the first few of many.
func named(endpoints []string) string {
	list := strings.Join(endpoints[:min(len(endpoints), maxNamed)], ", ")
	if more := len(endpoints) - maxNamed; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}

// reason says in steady words why an endpoint cannot be reached, and in brackets what
// may mend it. Errors of the network name ports of ours, and the time.
func reason(err error) string {
	if why := untrusted(err); why != "" {
		return why
	}
	var name *net.DNSError
	var errno syscall.Errno
	var refused refusal
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return fmt.Sprintf("the name %s is not known (mend the endpoint, or the DNS)", name.Name)
	case errors.As(err, &name):
		return fmt.Sprintf("the name %s cannot be looked up: %s (does the DNS answer?)", name.Name, name.Err)
	case errors.Is(err, errUnheard):
		return fmt.Sprintf("%v (is the address right? does a firewall drop packets?)", err)
	case errors.Is(err, errMute):
		return fmt.Sprintf("%v (is that etcd's port? does it hang?)", err)
	case errors.Is(err, errNotPlain):
		return fmt.Sprintf("%v (does it want https://?)", err)
	case errors.As(err, &refused):
		return fmt.Sprintf("it refuses our certificate: %v (is that expired, or not signed by the CA that it trusts?)", refused)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused (does it run there, at that port?)"
	case errors.As(err, &errno) && slices.Contains(unrouted, errno):
		return fmt.Sprintf("%v (is there a route, and no firewall?)", errno)
	}
	return steady(err)
}

// unrouted are errors of a network that does not carry what is sent.
var unrouted = []syscall.Errno{syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EACCES, syscall.EPERM}

// untrusted says what is wrong with the certificate of an endpoint, or nothing.
func untrusted(err error) string {
	var invalid x509.CertificateInvalidError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		from, to := invalid.Cert.NotBefore, invalid.Cert.NotAfter
		return fmt.Sprintf("its certificate is good from %s to %s, and not now (renew it, or set the clocks)",
			from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339))
	case errors.As(err, &authority):
		return "its certificate is signed by unknown authority (is our CA file that of this etcd?)"
	case errors.As(err, &host):
		return fmt.Sprintf("%s (name it in the certificate, or use a name that is there)", strings.TrimPrefix(host.Error(), "x509: "))
	case errors.As(err, &record):
		return "it speaks no TLS (is that etcd's port? does it want http://?)"
	}
	return ""
}

// unserved says why an endpoint that can be reached does not serve a request.
func unserved(err error) string {
	switch {
	case silence(err):
		return "it takes connections and does not answer (have most of its members died?)"
	case errors.Is(err, rpctypes.ErrPermissionDenied) || status.Code(err) == codes.PermissionDenied:
		return steady(err) + " (the common name of our certificate is our user there, who lacks the rights: see tombolo store users)"
	}
	return steady(err)
}

// silence says whether an error means no more than that no answer came.
func silence(err error) bool {
	return err == nil || errors.Is(err, errNoAnswer) || errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded
}

// lost says whether an error is that a connection was.
func lost(err error) bool {
	return status.Code(err) == codes.Unavailable && !strings.Contains(err.Error(), "etcdserver: ")
}

// source is the port at our end of a connection, another one for each.
var source = regexp.MustCompile(`:\d+->`)

// steady is the text of an error without what differs from one attempt to the next.
func steady(err error) string { return source.ReplaceAllString(err.Error(), "->") }
