package translate

import (
	"net/url"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"tombolo.io/tombolo/api/v1alpha1"
	"tombolo.io/tombolo/clustermesh"
)

// Bounds of a peer's endpoints, those of its schema.
const (
	maxEndpoints    = 16
	longestEndpoint = 280
)

// ClusterPeer translates a ClusterPeer.
func ClusterPeer(p *v1alpha1.ClusterPeer) (*clustermesh.Peer, error) {
	c := &checker{}
	c.name(&p.ObjectMeta, false)
	if p.Name != "" && len(validation.IsDNS1123Label(p.Name)) > 0 {
		c.wrong("metadata.name", "%q is not a cluster's name: lower case letters, digits and '-', at most 63", p.Name)
	}
	if len(p.Spec.Endpoints) == 0 {
		c.wrong("spec.endpoints", "is empty; name at least one, such as https://192.0.2.1:2379")
	}
	c.atMost("spec.endpoints", len(p.Spec.Endpoints), maxEndpoints)
	once(c, "spec.endpoints", p.Spec.Endpoints)
	for i, e := range p.Spec.Endpoints {
		u, err := url.Parse(string(e))
		if len(e) > longestEndpoint || err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Port() == "" || string(e) != "https://"+u.Host {
			c.wrong(at("spec.endpoints", i), "%q is not https://address:port", e)
		}
	}
	t := p.Spec.TLS
	c.file("spec.tls.caFile", t.CAFile)
	c.file("spec.tls.certFile", t.CertFile)
	c.file("spec.tls.keyFile", t.KeyFile)
	out := &clustermesh.Peer{
		Name:      p.Name,
		Endpoints: texts(p.Spec.Endpoints),
		TLS:       clustermesh.TLSFiles{CA: string(t.CAFile), Cert: string(t.CertFile), Key: string(t.KeyFile)},
	}
	c.valid(out)
	if err := c.err(); err != nil {
		return nil, err
	}
	return out, nil
}

// longestPath is Linux' PATH_MAX without the NUL at its end.
const longestPath = 4095

func (c *checker) file(path string, name v1alpha1.File) {
	switch {
	case name == "":
		c.wrong(path, "is missing")
	case !filepath.IsAbs(string(name)) || strings.ContainsRune(string(name), 0) || len(name) > longestPath:
		c.wrong(path, "%q is not an absolute path", name)
	}
}
