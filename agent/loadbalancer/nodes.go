package loadbalancer

import (
	"maps"
	"slices"
)

// nodeName is a node of the mesh.
type nodeName struct {
	cluster uint16
	name    string
}

// nodes gives numbers to nodes, for as long as a backend names them, and keeps
// the verdicts about them. Number zero is a backend whose node is not known.
type nodes struct {
	target  Target
	numbers *numbers
	refs    map[uint32]int // backends that name the number
	// byName holds several numbers only after a restart, when a node was given a
	// new one before its pinned one was recognized.
	byName   map[nodeName][]uint32
	byNumber map[uint32]nodeName
	// names is a copy of byNumber for readers, nil when it is to be made anew.
	names map[uint32]nodeName
	// verdicts are kept also of nodes that have no number now.
	verdicts map[nodeName]opinion
	// self is this node; it has no name while that is not known.
	self nodeName
}

// opinion is what is thought to be down, and of what of that a verdict of this process
// spoke: the rest is what an earlier one stored.
type opinion struct{ down, known Health }

func newNodes(t Target, n *numbers) *nodes {
	return &nodes{
		target: t, numbers: n,
		refs:     map[uint32]int{},
		byName:   map[nodeName][]uint32{},
		byNumber: map[uint32]nodeName{},
		verdicts: map[nodeName]opinion{},
	}
}

// hold counts a backend that names the node, drop one that does so no more.
// The last one to go lets the number go.
func (n *nodes) hold(number uint32) {
	if number != 0 {
		n.refs[number]++
	}
}

func (n *nodes) drop(number uint32, to *remains) {
	if number == 0 {
		return
	}
	if n.refs[number]--; n.refs[number] > 0 {
		return
	}
	delete(n.refs, number)
	if who, ok := n.byNumber[number]; ok {
		n.keep(number, who)
		delete(n.byNumber, number)
		n.names = nil
		n.byName[who] = slices.DeleteFunc(n.byName[who], func(o uint32) bool { return o == number })
		if len(n.byName[who]) == 0 {
			delete(n.byName, who)
		}
	}
	to.nodes = append(to.nodes, number)
}

// keep keeps what an earlier process stored of a node that has no number any more, for
// the number that it may get.
func (n *nodes) keep(number uint32, who nodeName) {
	o := n.verdicts[who]
	if stored := n.target.NodeHealth(number) & Everything &^ o.known; stored != 0 {
		o.down |= stored
		n.verdicts[who] = o
	}
}

// number returns the node's number, held; a new one if it has none.
func (n *nodes) number(who nodeName) (uint32, error) {
	if who.name == "" {
		return 0, nil
	}
	if have := n.byName[who]; len(have) > 0 {
		n.hold(have[0])
		return have[0], nil
	}
	number, err := n.numbers.take()
	if err != nil {
		return 0, err
	}
	n.bind(who, number)
	n.target.SetNodeHealth(number, n.health(who))
	n.hold(number)
	return number, nil
}

// is reports whether number stands for the node. A number found in the maps,
// where names are not, gets the name of the first who asks.
func (n *nodes) is(number uint32, who nodeName) bool {
	if who.name == "" || number == 0 {
		return number == 0 && who.name == ""
	}
	name, named := n.byNumber[number]
	if named {
		return name == who
	}
	n.bind(who, number)
	n.mark(number, who)
	return true
}

func (n *nodes) bind(who nodeName, number uint32) {
	n.byName[who] = append(n.byName[who], number)
	n.byNumber[number] = who
	n.names = nil
}

// published returns the names of the numbers, in a map that is never changed.
func (n *nodes) published() map[uint32]nodeName {
	if n.names == nil {
		n.names = maps.Clone(n.byNumber)
	}
	return n.names
}

// judge stores what is down of a node, of that of which something is known.
func (n *nodes) judge(who nodeName, down, known Health) {
	o := n.verdicts[who]
	n.verdicts[who] = opinion{down&known | o.down&^known, known | o.known}
	for _, number := range n.byName[who] {
		n.mark(number, who)
	}
}

// health returns what is stored of a node: the verdict, and whether it is this one.
func (n *nodes) health(who nodeName) Health {
	h := n.verdicts[who].down
	if who == n.self {
		h |= ThisNode
	}
	return h
}

// mark stores what is known of a number that may be pinned: of what nobody spoke the
// verdict that lies there holds, and so does that it is this node while that is not
// known.
func (n *nodes) mark(number uint32, who nodeName) {
	stored := n.target.NodeHealth(number)
	o := n.verdicts[who]
	want := o.down&o.known | stored&^o.known
	if n.self.name != "" {
		want = want&^ThisNode | n.health(who)&ThisNode
	}
	if want != stored {
		n.target.SetNodeHealth(number, want)
	}
}

// setSelf says which node is this one.
func (n *nodes) setSelf(who nodeName) {
	if who == n.self || who.name == "" {
		return
	}
	n.self = who
	for number, name := range n.byNumber {
		n.mark(number, name)
	}
}
