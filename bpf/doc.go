// Package bpf is the data path: the programs that lead clients of a service to
// a backend, the maps they read, and how both come into the kernel. It knows
// numbers, addresses and bits, and nothing of what they stand for.
//
// # The life of a connect()
//
// A process of the cgroup calls connect() on a socket. Before anything else the
// kernel runs connect4 or connect6 (sock_connect.c) with the address it was
// given. Address, port and protocol are looked up in the map of frontends
// (include/frontend.h); where they are none, the call goes on untouched. A
// frontend gives the number of a service (service.h), whose word says where its
// table lies among the slots (slot.h). The hash of the socket's cookie picks a
// slot, the slot holds the number of a backend (backend.h), and the backend, its
// node and its cluster must not be down (health.h): else the next hash is tried,
// then the neighbours, then the backup table, and in the end the first choice in
// spite of all (select.h). Under session affinity the client's network namespace
// is asked first for the backend that it had (affinity.h). The program writes
// the backend's address over the frontend's, and notes both under the socket's
// cookie (socket.h), where getpeername finds them again until the socket is closed
// (sock_release). A socket that finds no room keeps it in its own storage, over which
// an iterator walks for those who ask (sock_spill.c, [Sockets.All]). From here on it is
// a plain connection to the backend: no packet is ever translated. When there is no
// backend, connect() fails at once with ECONNREFUSED.
//
// A datagram that is sent with an address takes the same way through sendmsg4 or
// sendmsg6; the socket's storage (datagram.h) keeps it with its backend, and
// recvmsg4 and recvmsg6 give the answer back the address the client had sent to.
//
// # What becomes of a connection
//
// Of a service that wants to know (Service.Outliers), connect() notes with the
// socket to which backend it was led, and opening (sock_ops.c) sees how that goes:
// a reset in answer to the SYN, no answer after a second, a reset before a byte
// came. Failures in a row are counted with the backend, in whichever process's
// absence, and told through a ring ([Failures]); a success ends the run. Nothing is
// done about it here. The kernel would call opening for all connections of the
// cgroup, so it is attached only while there is such a service ([Datapath.Hear]).
//
// # Writing while programs read
//
// The arrays are mapped into the writer's memory: [Services], [Slots],
// [Backends] and [Health] are written without a system call. What a program
// looks at is one word, or is reached through one word that is stored last. So
// a table is replaced by writing the new one where nobody reads and storing the
// service's word; [Datapath.Grace] then waits until no program runs that still
// had the old word. Only after it are extents, services and backends used again.
// A reference that lives longer (affinity, a socket's) holds the generation of
// the backend as well.
//
// # Probes
//
// Other nodes ask whether this one's data path lives. The [Responder] answers
// without a process: at the ingress of the node's uplinks probe.c turns a probe
// to an address of the node, or to any of its pods' prefixes, into its own reply
// and sends it back by the device it came on (include/probe.h has the format).
// The reply is as long as the request, repeats its nonce, and carries the
// kernel's boot id and the endpoint epoch. Only those may ask whose addresses
// are in the map, each so often; whatever the program does not understand goes
// its way.
//
// # Packets from outside
//
// A packet for an address of a service comes in by an uplink, where from_uplink
// (packet.c) reads its headers (include/packet.h). Its flow is looked up by its tuple
// (include/conntrack.h); a flow that is not known begins, with a SYN or a datagram, by
// the same tables as a connect(), but by a hash that all nodes share (include/select.h).
// To a backend on this node it goes through the kernel with the client's address; to one
// elsewhere from here, with the node's address and a port that one flow alone has
// (include/nat.h), by the kernel's routes and neighbours (include/route.h). What the
// backend answers comes back by from_uplink, or leaves by to_uplink, and is given the
// frontend's address again (include/rewrite.h); so are the packets within ICMP errors.
// What belongs to nothing is reset or dropped and counted (include/answer.h,
// include/outcome.h).
//
// A service may be for clients from some ranges alone (include/range.h, [Guard]): what
// begins a flow from elsewhere is dropped, and a socket is refused if it is of those,
// the node's or its pods', of which the writer says that they are not in range.
//
// An answer is one while its sender is the flow's backend still, and of TCP if it
// acknowledges the client's SYN or follows what did.
//
// Where [PacketsConfig.Direct] says so, a packet for another node of the cluster goes there
// as it came, in a tunnel between the two nodes (include/tunnel.h), if that one takes such
// ([Packets.SetTunnel]). It leads what comes out of a tunnel by frontends of their own
// scope, to its own backends alone, and these answer the client directly. The client is
// told of segments that fit (include/segment.h), and of what does not (include/toobig.h).
// A segment of a connection that this node does not know is led as its SYN was: another
// node may have begun it.
//
// A flow begins in maps for those that are not answered, and moves with the client's first
// packet after an answer, so that a flood of SYNs pushes out its like alone. It is two
// entries that name each other, one for each direction: what does not name its entry back
// is none, so that neither a reused element of the map nor an eviction leads a packet into
// the flow of another.
//
// A flow remembers for a moment by which way the kernel had its packets sent
// (include/way.h), so that not each of them asks. It does so by a number; when most
// numbers are used they are given out anew ([Packets.RenewWays]).
//
// Where [PacketsConfig.XDP] says so, from_wire (wire.c) does for packets of flows that go on
// what from_uplink would, before the kernel makes anything of them: by the same maps, what
// the flow and its way remember, and writing into the frame (include/follow.h). All else, and
// whatever it has a doubt about, it leaves to from_uplink as it came. It sends by the
// addresses that a way has of its neighbours, which the kernel keeps while it is sent a packet
// of that way now and then.
//
// [Tracer] has the kernel run from_uplink on packets that it makes, and explains beside it
// how the tables lead there.
//
// # Pins
//
// Maps are pinned under <bpffs>/tombolo/lb/<layout version>/<a or b>, links
// under <bpffs>/tombolo/links. While nothing of ours runs, the programs and maps
// go on as they are. [Load] takes the maps over that the attached programs use;
// if their layout or sizes are others it makes new ones beside them, which the
// caller fills, and [Datapath.Attach] swaps the programs link by link and removes
// what is left of the old. The flows that sockets hold are not carried over then:
// connections go on, but datagrams that are on their way show their backend.
//
// The responder's are under <bpffs>/tombolo/probe, with a layout version of
// their own; on a kernel without tcx (before 6.6) a filter of a clsact qdisc
// holds its program instead of a link. Those of the packet path are under
// <bpffs>/tombolo/packet: the links, and the maps of flows alone, by a version of their
// own; what else it has is filled anew by each process before it attaches.
//
// Linux 6.1 or newer is needed.
//
// # Measuring
//
// [Replay] runs the program that leads packets many times on made ones. Before each run
// replay.c puts the packet back as it came, for the kernel goes on with what became of it.
package bpf
