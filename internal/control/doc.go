// Package control is how people and tools look at a running role: HTTP on the
// unix socket <run-dir>/<role>.sock, and the client that asks there.
//
// Every role serves /status, /metrics, /healthz and /readyz, and JSON pages of
// its own. What it serves are snapshots: a Surface's functions are called on
// the server's goroutines and return values that nobody changes any more. An
// optional TCP address serves /metrics, /healthz and /readyz alone, for what
// scrapes and probes from elsewhere; the rest needs root on the machine.
//
// Open also claims the role in its run directory, so that no two processes do
// the same work: a second one is told who was first.
package control
