// Package events writes Events of the Kubernetes API: what just happened to an
// object, once when it happens.
//
// Whoever tells does not wait. What happens to the same object for the same reason
// in the same words is one Event that counts, by whichever process it is written;
// its name says all that. Warnings go before what is in order, and no more than some
// a second are written, whatever happens to how many objects.
package events
