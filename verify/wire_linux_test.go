package verify

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

func someRows() []*row { return []*row{{id: "a/one"}, {id: "a/two", works: true}} }

func TestStatements(t *testing.T) {
	s := newStatements(someRows())
	var began []string
	s.started = func(id string) { began = append(began, id) }
	held := 0
	in := "noise\n" + startLine("a/one") + startLine("a/one") + startLine("b/unknown") + "evil" + doneLine("a/two", true, "no line of its own") +
		doneLine("a/one", false, "found") + doneLine("a/one", true, "later") + holdLine + linePrefix + "done a/two 1 !!!\n" +
		strings.Repeat("x", 3*maxLine) + doneLine("a/two", true, "behind a long line") + "belljar-verify done"
	if err := s.read(strings.NewReader(in), func() { held++ }); err != nil {
		t.Fatal(err)
	}
	one, two := s.of["a/one"], s.of["a/two"]
	if !one.started || !one.done || !one.claim || one.evidence != "found" {
		t.Errorf("a/one: %+v", one)
	}
	if two.started || two.done || two.claim {
		t.Errorf("a/two was never said on a line of its own: %+v", two)
	}
	if held != 1 || fmt.Sprint(began) != "[a/one]" {
		t.Errorf("held %d times, began %q", held, began)
	}
}

func TestTooMuch(t *testing.T) {
	s := newStatements(someRows())
	if err := s.read(bytes.NewReader(bytes.Repeat([]byte("x\n"), maxTotal)), nil); err != errTooMuch {
		t.Errorf("got %v", err)
	}
	if l := doneLine("a/one", true, strings.Repeat("y", 2*maxEvidence)); len(l) > maxLine || s.line(strings.TrimSpace(l)) || len(s.of["a/one"].evidence) != maxEvidence {
		t.Errorf("a line of %d bytes, %d of evidence", len(l), len(s.of["a/one"].evidence))
	}
}

func FuzzStatements(f *testing.F) {
	f.Add([]byte(startLine("a/one") + doneLine("a/one", true, "x") + holdLine))
	f.Add([]byte(linePrefix + "done a/one 1 " + base64.StdEncoding.EncodeToString(make([]byte, maxEvidence+1)) + "\n"))
	f.Add([]byte("\x00\r\n" + linePrefix + "start \xff\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newStatements(someRows())
		holds := 0
		_ = s.read(bytes.NewReader(b), func() { holds++ })
		if len(s.of) != 2 || holds > len(b) {
			t.Fatalf("%d rows, %d holds", len(s.of), holds)
		}
		for id, st := range s.of {
			if len(st.evidence) > maxEvidence || st.done && !st.started || st.claim && !st.done {
				t.Fatalf("%s: %+v", id, st)
			}
		}
	})
}
