package kube

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// Request is what the audit log says of a request that was answered.
type Request struct {
	User string
	// Verb is as RBAC has it: get, list, watch, create, update, patch, delete,
	// deletecollection.
	Verb string
	// Group, Resource, Subresource, Namespace and Name say of what; without a
	// resource Path does.
	Group, Resource, Subresource, Namespace, Name, Path string
	// Code is the answer's status.
	Code int
}

// event is an event of audit.k8s.io/v1, as far as it is read.
type event struct {
	Verb string
	User struct{ Username string }
	URI  string `json:"requestURI"`
	Ref  struct {
		APIGroup, Resource, Subresource, Namespace, Name string
	} `json:"objectRef"`
	Status struct{ Code int } `json:"responseStatus"`
}

// Requests reads the audit log: the requests of a user, or with none named of
// all, in the order in which they were answered. A watch is there twice, when
// it began and when it ended.
func (p Plane) Requests(users ...string) ([]Request, error) {
	f, err := os.Open(p.AuditLog())
	if errors.Is(err, fs.ErrNotExist) && p.Audit {
		return nil, nil // nobody asked anything yet
	}
	if err != nil {
		return nil, fmt.Errorf("reading the audit log: %w", err)
	}
	defer f.Close()
	all, err := decode(f)
	if err != nil {
		return nil, fmt.Errorf("reading the audit log %s: %w", p.AuditLog(), err)
	}
	return slices.DeleteFunc(all, func(r Request) bool { return len(users) > 0 && !slices.Contains(users, r.User) }), nil
}

// decode reads whole lines: the last may be half written.
func decode(r io.Reader) ([]Request, error) {
	var out []Request
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(out)+1, err)
		}
		out = append(out, Request{User: e.User.Username, Verb: e.Verb, Group: e.Ref.APIGroup, Resource: e.Ref.Resource,
			Subresource: e.Ref.Subresource, Namespace: e.Ref.Namespace, Name: e.Ref.Name, Path: e.URI, Code: e.Status.Code})
	}
}
