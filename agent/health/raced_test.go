//go:build race

package health

// raced: these tests run under the race detector, with which a simulation takes seven times
// as long and shows no more, for it is one goroutine. The biggest are cut short then, and
// make test runs them once more without.
const raced = true
