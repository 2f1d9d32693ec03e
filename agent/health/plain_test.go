//go:build !race

package health

// raced: see raced_test.go.
const raced = false
