// Package router sets up the BGP routers that clusters peer with in a lab and
// in tests: FRR, BIRD, or the one built in.
//
// All three do the same with the same Config: they accept the nodes of their
// networks as dynamic neighbours, speak with other routers over links, keep
// routes over a graceful restart (RFC 4724), and put the best paths, several
// where they are equal, into the kernel of their network namespace. Setup is
// pure and says which files and processes that takes; Start runs them in a
// namespace and waits until they answer; Routes and Watch tell what the
// kernel has, which is the only truth that tests look at.
//
// The built-in router's work is in package builtin; here is only how it is
// started.
package router
