package verify

import (
	"testing"

	"github.com/belljar-dev/belljar"
)

func TestMerge(t *testing.T) {
	yes, no, absent := finding{Ran: true, Effect: true}, finding{Ran: true}, finding{}
	excuse := func() string { return "the kernel says no" }
	none := []belljar.Enforcement{{Requirement: belljar.ReqKernel, Level: belljar.None, Gap: "shared kernel"}, {Requirement: belljar.ReqReads, Level: belljar.Enforced, By: "a root of its own"}}
	for _, c := range []struct {
		name             string
		row              row
		sandbox, control finding
		want             Result
		failed           bool
	}{
		{"stopped", row{}, no, yes, Stopped, false},
		{"through", row{}, yes, yes, Through, true},
		{"the control fails", row{}, no, no, NotJudged, true},
		{"the control fails, and so would nobody notice", row{}, yes, no, NotJudged, true},
		{"the control did not run", row{}, no, absent, NotJudged, true},
		{"the attack did not run", row{}, absent, yes, NotJudged, true},
		{"an excuse", row{excuse: excuse}, no, no, NotJudged, false},
		{"an excuse does not cover what came through", row{excuse: excuse}, yes, yes, Through, true},
		{"works", row{works: true}, yes, yes, Works, false},
		{"broken", row{works: true}, no, yes, Broken, true},
		{"a declared gap", row{req: belljar.ReqKernel}, yes, yes, NotJudged, false},
		{"a declared gap that is closed", row{req: belljar.ReqKernel}, no, yes, Stopped, false},
		{"no gap", row{req: belljar.ReqReads}, yes, yes, Through, true},
	} {
		c.row.id = "x/y"
		got := merge([]*row{&c.row}, map[string]finding{"x/y": c.sandbox}, map[string]finding{"x/y": c.control}, none)[0]
		if got.Result != c.want || got.Failed() != c.failed {
			t.Errorf("%s: %+v", c.name, got)
		}
		if got.Failed() && got.Reason == "" {
			t.Errorf("%s: no reason", c.name)
		}
	}
	if got := layerOf(&row{req: belljar.ReqReads}, none); got != "a root of its own" {
		t.Errorf("layer %q", got)
	}
}
