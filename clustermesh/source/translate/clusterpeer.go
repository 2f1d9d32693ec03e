package translate

import (
	"net/url"
	"path/filepath"

	"k8s.io/apimachinery/pkg/util/validation"

	"tombolo.io/tombolo/api/v1alpha1"
	"tombolo.io/tombolo/clustermesh"
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
	for i, e := range p.Spec.Endpoints {
		u, err := url.Parse(e)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.Port() == "" || u.Path != "" {
			c.wrong(at("spec.endpoints", i), "%q is not https://address:port", e)
		}
	}
	t := p.Spec.TLS
	c.file("spec.tls.caFile", t.CAFile)
	c.file("spec.tls.certFile", t.CertFile)
	c.file("spec.tls.keyFile", t.KeyFile)
	out := &clustermesh.Peer{
		Name:      p.Name,
		Endpoints: p.Spec.Endpoints,
		TLS:       clustermesh.TLSFiles{CA: t.CAFile, Cert: t.CertFile, Key: t.KeyFile},
	}
	c.valid(out)
	if err := c.err(); err != nil {
		return nil, err
	}
	return out, nil
}

func (c *checker) file(path, name string) {
	switch {
	case name == "":
		c.wrong(path, "is missing")
	case !filepath.IsAbs(name):
		c.wrong(path, "%q is not an absolute path", name)
	}
}
