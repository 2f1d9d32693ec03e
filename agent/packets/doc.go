// Package packets keeps the packet path of a node as the mesh wants it: which
// addresses packets from outside may come to, from which address they go on to
// backends elsewhere, and on which devices that happens.
//
// The addresses are those that the balancer has written for packets from outside;
// services and backends are the balancer's own work. The devices are those that are
// configured, or else the uplinks that package uplink finds. It attaches after the
// balancer has written all that it wants for the first time: until then what an
// earlier process attached goes on, on the maps that it had.
package packets
