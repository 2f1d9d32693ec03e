package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// choice says what of a package runs. Tests are named in full: one that is renamed is
// missed, and not left out in silence.
type choice struct {
	// why none of it runs; empty where some does.
	why string
	// kernel are the tests that ask something of the kernel; nil for all. The others
	// are of code that is the same everywhere.
	kernel []string
	// share are those that `make test` runs; nil for all that run: together they load
	// every program, attach it in every way, and show what each does.
	share []string
	// needs are the features that tests cannot do without, by test. The guest asks the
	// kernel for them.
	needs map[string]string
}

// choices are those of packages of which not all runs.
var choices = map[string]choice{
	"agent":       {why: "it wires parts whose own tests run here"},
	"agent/check": {why: "its tests make broken paths with nft, a program that the machine does not have"},
	"agent/disconnect": {share: []string{
		"TestDissolved", "TestNobodyElseServes", "TestSweep", "TestPeerHadEnded",
	}},
	"agent/loadbalancer": {
		kernel: []string{
			"TestClientsOfAnEjectedBackend", "TestFullMapsInTheKernel", "TestImportUnderPrograms",
			"TestRandomStepsInTheKernel", "TestRandomStepsUnderPrograms",
		},
		share: []string{"TestClientsOfAnEjectedBackend", "TestImportUnderPrograms"},
	},
	"bpf": {
		share: []string{
			// sock_connect.c, sock_getpeername.c
			"TestConnect", "TestNotAFrontend", "TestRefused", "TestAffinityPerNamespace", "TestWalk",
			// sock_sendmsg.c, sock_recvmsg.c
			"TestUnconnected", "TestManyFrontends",
			// sock_release.c, sock_spill.c, sock_ops.c
			"TestSocketPlacesAreFreed", "TestSpilledSocketsAreListed", "TestSilentBackendIsTold", "TestResetConnectionsAreTold",
			// Attaching and pinning, and what the kernel guarantees to writers.
			"TestSideBySide", "TestTakeOver", "TestCgroupMadeAnew", "TestGraceWaitsForPrograms", "TestUninstall",
			// packet.c
			"TestPacketVerdicts", "TestPacketConversation", "TestPacketReset", "TestPacketMutations",
			"TestPacketTrafficOfAVLAN", "TestPacketTrafficInBadWeather",
			// wire.c
			"TestWire", "TestWireKeepsNeighbours", "TestWireTraffic",
			"TestTunnelOut", "TestTunnelIn", "TestTunnelTooBig", "TestTunnelMutations", "TestSegmentsFit",
			// probe.c
			"TestAnswer", "TestNotAnswered", "TestProbeLimit", "TestProbeWire", "TestResponderOutlivesItsProcess",
			"TestResponderFollowsDevices", "TestResponderOnVLAN",
			"TestResponderChangesHook", "TestResponderLeavesOthers",
		},
		needs: map[string]string{"TestResponderChangesHook": "tcx", "TestResponderLeavesOthers": "tcx"},
	},
}

// of returns which of a package's tests run, and says how many of them are left out.
func (c choice) of(name string, all []string, share bool) ([]string, error) {
	for _, test := range slices.Concat(c.kernel, c.share, slices.Collect(maps.Keys(c.needs))) {
		if !slices.Contains(all, test) {
			return nil, fmt.Errorf("there is no test %s any more, of which choice.go speaks", test)
		}
	}
	run := all
	if c.kernel != nil {
		run = among(run, c.kernel)
		tell("left out: %d tests of %s that ask nothing of the kernel", len(all)-len(run), name)
	}
	if !share || c.share == nil {
		return run, nil
	}
	few := among(run, c.share)
	left := slices.DeleteFunc(slices.Clone(run), func(test string) bool { return slices.Contains(few, test) })
	tell("left to make test-vm: %d tests of %s: %s", len(left), name, strings.Join(left, " "))
	return few, nil
}

// among returns those of all that are wanted, in their order.
func among(all, wanted []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(test string) bool { return !slices.Contains(wanted, test) })
}

func tell(format string, args ...any) { fmt.Printf("vm: "+format+"\n", args...) }
