// Package mirror copies what other clusters export into this cluster's store:
// of each configured peer, its export/ becomes our mirror/<peer>/.
//
// One reader a peer follows the peer's store over mutual TLS. Mirrors, which
// the elected leader of the API servers runs for one term, owns everything
// else: it judges at the border who may join (Admit) and what a peer may say
// (fits), writes what it let pass, data first and markers last, through one
// fenced writer, and keeps mirror/<peer>/state up to date.
//
// What is mirrored goes only because its peer deleted it or because the peer
// was removed from the configuration. A lost connection, a peer whose store was
// emptied or went back, a refusal and a value that does not pass leave it as it
// was, and the state says so.
package mirror
