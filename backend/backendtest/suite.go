// Package backendtest is the conformance suite of tiers: what every backend must
// do, each case with the reason why.
//
// A backend's own test calls [Run] and is otherwise nearly empty:
//
//	func TestMain(m *testing.M) {
//		if all.Reexec(os.Args) {
//			return
//		}
//		os.Exit(m.Run())
//	}
//
//	func TestConformance(t *testing.T) { backendtest.Run(t, gvisor.New(gvisor.Options{})) }
//
// The suite builds its plans by hand, so that it depends on no other package of
// belljar, and serves views by a small pass-through server of its own.
//
// # Limitations
//
// The commands inside are those of the host's /usr: a POSIX shell and coreutils
// are required, further programs are probed for. What a tier declares in its
// capabilities as not held is not required of it.
package backendtest

import (
	"context"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/testenv"
)

// A tcase is one requirement.
type tcase struct {
	name string
	why  string   // shown when it fails
	need []string // of the host, as in package testenv
	run  func(t *testing.T, s *box)
	// plan changes the plan of a sandbox of its own; nil: the shared sandbox.
	plan func(*belljar.Plan)
	view bool // wants the project as a view
	own  bool // wants a sandbox of its own, unchanged
	bare bool // starts sandboxes by itself
	// exec is asked before each execve of a sandbox of its own.
	exec func(t *testing.T, ctx context.Context, e *belljar.ExecEvent) string
	// holds is what the case is about: a tier that declares not to enforce it is not
	// asked.
	holds belljar.Requirement
}

// Run runs the whole suite against b.
// Started by root it runs as an ordinary user, see [AsOrdinaryUser].
func Run(t *testing.T, b belljar.Backend) {
	if AsOrdinaryUser(t) {
		return
	}
	testenv.Need(t, "userns")
	c, err := b.Probe(t.Context())
	if err != nil {
		t.Fatalf("probe: %v", err)
	}
	if !c.Usable {
		if testenv.Required(b.Name()) {
			t.Fatalf("tier %s is not usable here: %s", b.Name(), c.Reason)
		}
		t.Skipf("tier %s is not usable here: %s (%s)", b.Name(), c.Reason, c.Remedy)
	}
	shared := newBox(t, b)
	shared.boot()
	cases := 0
	for _, group := range [][]tcase{
		processCases, fileCases, isolationCases, networkCases, terminalCases, limitCases, eventCases, commandCases, lifeCases,
	} {
		cases += len(group)
		for _, tc := range group {
			t.Run(tc.name, func(t *testing.T) { runCase(t, b, shared, tc) })
		}
	}
	t.Logf("tier %s: %d cases", b.Name(), cases)
}

func runCase(t *testing.T, b belljar.Backend, shared *box, tc tcase) {
	testenv.Need(t, tc.need...)
	if e := declared(t, b, tc.holds); tc.holds != "" && e.Level == belljar.None {
		t.Skipf("the tier declares: %s", e.Gap)
	}
	defer func() {
		if t.Failed() {
			t.Logf("required because: %s", tc.why)
		}
	}()
	s := shared.with(t)
	if tc.plan != nil || tc.exec != nil || tc.own || tc.view || tc.bare {
		s = newBox(t, b)
		if tc.view {
			testenv.Need(t, "fuse")
			s.useView()
		}
		if tc.plan != nil {
			tc.plan(s.plan)
		}
		if tc.exec != nil {
			s.exec = func(ctx context.Context, e *belljar.ExecEvent) string { return tc.exec(t, ctx, e) }
		}
		if !tc.bare {
			s.boot()
		}
	}
	tc.run(t, s)
}

// declared is what a tier says of one requirement.
func declared(t *testing.T, b belljar.Backend, r belljar.Requirement) belljar.Enforcement {
	t.Helper()
	c, err := b.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range c.Requirements {
		if e.Requirement == r {
			return e
		}
	}
	return belljar.Enforcement{}
}
