package verify

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"reflect"
	"strings"
	"testing"
)

func sample() *Report {
	r := &Report{Tier: "t", Attacks: []Attack{
		{ID: "g/a", Name: "first <&>", Expected: Stopped, Result: Stopped, Layer: "view"},
		{ID: "g/b", Name: "second", Expected: Stopped, Result: Through, Layer: "view", Reason: "seen \"outside\""},
		{ID: "g/c", Name: "third", Expected: Works, Result: NotJudged, Reason: "no", Excused: true},
	}}
	r.count()
	return r
}

// TestJSON: the shape that the command line promises, and nothing else.
func TestJSON(t *testing.T) {
	var b bytes.Buffer
	if err := sample().WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"tier": "t", "passed": 1.0, "failed": 1.0, "attacks": []any{
		map[string]any{"id": "g/a", "name": "first <&>", "expected": "stopped", "result": "stopped", "layer": "view"},
		map[string]any{"id": "g/b", "name": "second", "expected": "stopped", "result": "through", "layer": "view"},
		map[string]any{"id": "g/c", "name": "third", "expected": "works", "result": "not-judged", "layer": ""},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %s", b.String())
	}
}

func TestJUnitAndTable(t *testing.T) {
	var b bytes.Buffer
	if err := sample().WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	var s junitSuite
	if err := xml.Unmarshal(b.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	if s.Tests != 3 || s.Failures != 1 || s.Skipped != 1 || s.Cases[1].Failure == nil || s.Cases[0].Failure != nil || s.Cases[2].Skipped == nil {
		t.Errorf("%s", b.String())
	}
	b.Reset()
	if err := sample().WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"g/a", "FAILED g/b", "stopped by: view", "not judged g/c: no", "1 as expected, 1 failed, 1 not judged"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
}
