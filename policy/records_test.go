package policy

import (
	"strings"
	"testing"
)

func TestRecords(t *testing.T) {
	for text, want := range map[string]string{
		"50GiB": "", "1MiB": "", "1KiB": "is less than 1MiB", "50": "a size is a number with", "-1GiB": "a size is a number with", "[]": "a size such as",
	} {
		d, faults := parse("version: 1\nrecords: "+text+"\n", layerUser)
		if want != "" && !strings.Contains(faults.Error(), want) || want == "" && (len(faults) > 0 || d.records == nil) {
			t.Errorf("%s: %v", text, faults)
		}
	}
	// It would remove the records of other projects.
	if _, faults := parse("version: 1\nrecords: 1MiB\n", layerProject); !strings.Contains(faults.Error(), "a project's file cannot say") {
		t.Error(faults)
	}
	user, _ := parse("version: 1\nrecords: 1GiB\n", layerUser)
	ceiling, _ := parse("version: 1\nrecords: 2GiB\n", layerCeiling)
	if p := merged(user, nil, nil, nil, false); p.Records() != 1<<30 {
		t.Error(p.Records())
	}
	p := merged(user, nil, nil, ceiling, false)
	if p == nil || p.Records() != 2<<30 {
		t.Fatalf("%+v", p)
	}
	if y, err := p.YAML(); err != nil || !strings.Contains(string(y), "records: 2GiB") {
		t.Errorf("%v %s", err, y)
	}
	none := build(newState(), &paths{}, nil)
	if none.Records() != 0 || len(Diff(none, p)) != 1 || len(Diff(p, none)) != 1 {
		t.Errorf("%+v %+v", Diff(none, p), Diff(p, none))
	}
}
