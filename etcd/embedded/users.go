package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"tombolo.io/tombolo/etcd"
)

// User is who a certificate names, and what they may do. A name that ends in
// a slash stands for all keys that begin with it, another for one key.
type User struct {
	// Name is the certificate's common name.
	Name string
	// Read and Write are the keys that the user may read, and write.
	Read, Write []string
}

// Tombolo returns the users of a cluster's store, whose keys are below root:
// nodes read everything and write their status, peers read what is exported.
func Tombolo(root string) []User {
	return []User{
		{Name: "node", Read: []string{root}, Write: []string{root + "status/"}},
		{Name: "peer", Read: []string{root + "epoch", root + "export/"}},
	}
}

// access is the users as text, to see whether they changed.
func (c Config) access() string {
	if c.TLS.Empty() {
		return "everybody\n"
	}
	var b strings.Builder
	b.WriteString("root\n")
	for _, u := range c.Users {
		fmt.Fprintf(&b, "%s reads %s writes %s\n", u.Name, strings.Join(u.Read, ","), strings.Join(u.Write, ","))
	}
	return b.String()
}

// grant makes the store's users and roles those wanted, and switches
// authentication on.
func grant(ctx context.Context, c *clientv3.Client, users []User) error {
	if err := remove(ctx, c, users); err != nil {
		return err
	}
	return admit(ctx, c, users)
}

// Grant gives an external store, of which c is a client that may do all, these
// users and their roles, and switches authentication on. Other users stay. It
// may be run again, as when the roles of a newer version differ.
func Grant(ctx context.Context, c *etcd.Client, users []User) error {
	return admit(ctx, c.Raw(), users)
}

// admit adds root and users with their roles, and switches authentication on.
func admit(ctx context.Context, c *clientv3.Client, users []User) error {
	if err := add(ctx, c, "root"); err != nil {
		return err
	}
	for _, u := range users {
		if err := add(ctx, c, u.Name); err != nil {
			return err
		}
		if err := allow(ctx, c, u); err != nil {
			return err
		}
	}
	if _, err := c.AuthEnable(ctx); err != nil {
		return fmt.Errorf("switching authentication on: %w", err)
	}
	return nil
}

// remove removes the users and roles that are not wanted.
func remove(ctx context.Context, c *clientv3.Client, users []User) error {
	resp, err := c.UserList(ctx)
	if err != nil {
		return fmt.Errorf("reading the store's users: %w", err)
	}
	for _, name := range resp.Users {
		if name == "root" || slices.ContainsFunc(users, func(u User) bool { return u.Name == name }) {
			continue
		}
		if _, err := c.UserDelete(ctx, name); err != nil {
			return fmt.Errorf("removing the user %q: %w", name, err)
		}
	}
	return nil
}

// add adds a user without a password and the role of the same name, empty.
func add(ctx context.Context, c *clientv3.Client, name string) error {
	if name != "root" {
		if _, err := c.RoleDelete(ctx, name); err != nil && !errors.Is(err, rpctypes.ErrRoleNotFound) {
			return fmt.Errorf("renewing the role %q: %w", name, err)
		}
	}
	if _, err := c.RoleAdd(ctx, name); err != nil && !errors.Is(err, rpctypes.ErrRoleAlreadyExist) {
		return fmt.Errorf("adding the role %q: %w", name, err)
	}
	_, err := c.UserAddWithOptions(ctx, name, "", &clientv3.UserAddOptions{NoPassword: true})
	if err != nil && !errors.Is(err, rpctypes.ErrUserAlreadyExist) {
		return fmt.Errorf("adding the user %q: %w", name, err)
	}
	if _, err := c.UserGrantRole(ctx, name, name); err != nil {
		return fmt.Errorf("giving %q its role: %w", name, err)
	}
	return nil
}

func allow(ctx context.Context, c *clientv3.Client, u User) error {
	for _, p := range u.permissions() {
		if _, err := c.RoleGrantPermission(ctx, u.Name, p.key, p.end, clientv3.PermissionType(p.kind)); err != nil {
			return fmt.Errorf("allowing %q %s: %w", u.Name, p.key, err)
		}
	}
	return nil
}

// granted says whether the store has these users, with these roles and no other.
func granted(ctx context.Context, c *clientv3.Client, users []User) (bool, error) {
	resp, err := c.UserList(ctx)
	if err != nil {
		return false, fmt.Errorf("reading the store's users: %w", err)
	}
	if len(resp.Users) != len(users)+1 {
		return false, nil
	}
	for _, u := range users {
		role, err := c.RoleGet(ctx, u.Name)
		if errors.Is(err, rpctypes.ErrRoleNotFound) || err == nil && !slices.Contains(resp.Users, u.Name) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("reading the role %q: %w", u.Name, err)
		}
		have := map[string]bool{}
		for _, p := range role.Perm {
			have[fmt.Sprintf("%v %q %q", p.GetPermType(), p.GetKey(), p.GetRangeEnd())] = true
		}
		for _, want := range u.permissions() {
			if !have[want.String()] {
				return false, nil
			}
			delete(have, want.String())
		}
		if len(have) > 0 {
			return false, nil
		}
	}
	return true, nil
}

// permission is one of a role's: what may be done to keys from key up to end.
type permission struct {
	kind     authpb.Permission_Type
	key, end string
}

// String is the permission as granted compares it.
func (p permission) String() string { return fmt.Sprintf("%v %q %q", p.kind, p.key, p.end) }

// permissions are what a user may do, reads first.
func (u User) permissions() []permission {
	var out []permission
	for _, key := range u.Read {
		out = append(out, permission{authpb.READ, key, rangeEnd(key)})
	}
	for _, key := range u.Write {
		out = append(out, permission{authpb.WRITE, key, rangeEnd(key)})
	}
	return out
}

// rangeEnd is the end of all keys that begin with one that ends in a slash.
func rangeEnd(key string) string {
	if !strings.HasSuffix(key, "/") {
		return ""
	}
	return clientv3.GetPrefixRangeEnd(key)
}
