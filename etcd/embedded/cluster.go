package embedded

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"

	"tombolo.io/tombolo/etcd"
)

// Cluster names the members of a store that several processes keep together.
// The zero value is a store of one member, which listens to no other.
type Cluster struct {
	// Name is this member's among Members.
	Name string
	// Members are the URLs at which the members reach each other, by name: one,
	// three or five. With https the members show each other the server's
	// certificate, which therefore is for clients too, and whose common name,
	// the same for all, is no user's.
	Members map[string]string
	// Listen is the URL, by address, on which other members are served; empty is
	// this member's of Members, or all addresses where that is a name.
	Listen string
	// Root is the certificate of root, with which a member that has no data
	// joins the others.
	Root etcd.TLSFiles
}

// Empty says that the store has one member, which listens to no other.
func (c Cluster) Empty() bool {
	return c.Name == "" && c.Listen == "" && len(c.Members) == 0
}

// url is this member's.
func (c Cluster) url() string { return c.Members[c.Name] }

// others are the names of the other members, sorted.
func (c Cluster) others() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.Members)), func(n string) bool { return n == c.Name })
}

// first says whether this member is the one that founds a store.
func (c Cluster) first() bool { return c.Name == slices.Min(slices.Collect(maps.Keys(c.Members))) }

// validate reports every mistake. secure: the server asks for certificates.
func (c Cluster) validate(secure bool) error {
	if c.Empty() {
		return nil
	}
	var errs []error
	if n := len(c.Members); n != 1 && n != 3 && n != 5 {
		errs = append(errs, fmt.Errorf("the store has %d members: name 1, 3 or 5 in --etcd-members; an even number outlives no more deaths than one less", n))
	}
	if c.url() == "" {
		errs = append(errs, fmt.Errorf("this member %q is none of --etcd-members: give one of their names as --etcd-member", c.Name))
	}
	errs = append(errs, c.validateURLs(secure))
	if u, err := url.Parse(c.Listen); err == nil && c.Listen != "" {
		if _, err := netip.ParseAddr(u.Hostname()); err != nil {
			errs = append(errs, fmt.Errorf("--etcd-peer-listen %q: want an address such as https://0.0.0.0:2380, not a name", c.Listen))
		}
	}
	if secure && (c.Root.CA == "" || c.Root.Cert == "" || c.Root.Key == "") {
		errs = append(errs, errors.New("members join with the certificate of root, of which some file is not given"))
	}
	return errors.Join(errs...)
}

// validateURLs reports what is wrong with the URLs.
func (c Cluster) validateURLs(secure bool) error {
	var errs []error
	urls := slices.Collect(maps.Values(c.Members))
	if c.Listen != "" {
		urls = append(urls, c.Listen)
	}
	slices.Sort(urls)
	for _, s := range urls {
		u, err := url.Parse(s)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("URL of a member: %w", err))
		case u.Port() == "" || u.Scheme != "http" && u.Scheme != "https":
			errs = append(errs, fmt.Errorf("URL of a member %q is none such as https://10.0.0.1:2380", s))
		case secure != (u.Scheme == "https"):
			errs = append(errs, fmt.Errorf("URL of a member %q: members and clients are either all served by https, with certificates, or none", s))
		}
	}
	return errors.Join(errs...)
}

// listen returns the URL to listen on for other members.
func (c Cluster) listen() (url.URL, error) {
	if c.Listen != "" {
		u, err := url.Parse(c.Listen)
		if err != nil {
			return url.URL{}, fmt.Errorf("configuring etcd: %w", err)
		}
		return *u, nil
	}
	u, err := url.Parse(c.url())
	if err != nil {
		return url.URL{}, fmt.Errorf("configuring etcd: %w", err)
	}
	if _, err := netip.ParseAddr(u.Hostname()); err != nil {
		u.Host = ":" + u.Port()
	}
	return *u, nil
}

// advertised returns the URLs at which other members find the clients' port:
// where it listens on all addresses, at the host of this member.
func (c Cluster) advertised(listen []string) ([]string, error) {
	own, err := url.Parse(c.url())
	if err != nil {
		return nil, fmt.Errorf("configuring etcd: %w", err)
	}
	return hosted(listen, own.Hostname()), nil
}

// Local returns the URLs at which this process itself reaches a server that
// listens on these: for all addresses the loopback one.
func Local(listen []string) []string { return hosted(listen, "") }

// hosted gives URLs of all addresses a host, or the loopback address.
func hosted(listen []string, host string) []string {
	out := make([]string, 0, len(listen))
	for _, s := range listen {
		u, err := url.Parse(s)
		if err != nil {
			out = append(out, s) // Validate reports it
			continue
		}
		a, err := netip.ParseAddr(u.Hostname())
		if u.Hostname() == "" || err == nil && a.IsUnspecified() {
			h := host
			if h == "" && a.Is6() {
				h = "::1"
			} else if h == "" {
				h = "127.0.0.1"
			}
			if strings.Contains(h, ":") {
				h = "[" + h + "]"
			}
			u.Host = h + ":" + u.Port()
		}
		out = append(out, u.String())
	}
	return out
}

// memberCN reads the common name that all members' certificates have. A name of
// a user's would let that user speak as a member.
func (c Config) memberCN() (string, error) {
	raw, err := os.ReadFile(c.TLS.Cert)
	if err != nil {
		return "", fmt.Errorf("reading the server's certificate: %w", err)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return "", fmt.Errorf("reading the server's certificate: no PEM in %s", c.TLS.Cert)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", fmt.Errorf("reading the server's certificate %s: %w", c.TLS.Cert, err)
	}
	cn := cert.Subject.CommonName
	if cn == "" || cn == "root" || slices.ContainsFunc(c.Users, func(u User) bool { return u.Name == cn }) {
		return "", fmt.Errorf("the certificate %s has the common name %q: members of a store are known by theirs, so it must be one that is no user's, such as etcd", c.TLS.Cert, cn)
	}
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if !slices.Contains(cert.ExtKeyUsage, use) && !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageAny) {
			return "", fmt.Errorf("the certificate %s is not for both servers and clients: members show it to each other, so its extended key usage must name serverAuth and clientAuth", c.TLS.Cert)
		}
	}
	return cn, nil
}
