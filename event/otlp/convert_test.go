package otlp

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	"google.golang.org/protobuf/proto"
)

// The table of docs/otlp.md is the one of the code.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile("../../docs/otlp.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for kind, a := range acts {
		rows = append(rows, fmt.Sprintf("| `%s` | %s (%d) | %s (%d) |", kind, a.name, a.class, a.did, a.activity))
	}
	slices.Sort(rows)
	for _, r := range rows {
		if !strings.Contains(string(b), r) {
			t.Errorf("docs/otlp.md lacks %s", r)
		}
	}
}

func TestClass(t *testing.T) {
	net := func(n belljar.NetEvent) *belljar.NetEvent { return &n }
	for _, c := range []struct {
		e    belljar.Event
		want string
	}{
		{belljar.Event{Kind: belljar.EventExec, Exec: &belljar.ExecEvent{}}, "1007 1 1"},
		{belljar.Event{Kind: belljar.EventExec, Exec: &belljar.ExecEvent{Refused: "no"}}, "1007 1 2"},
		{belljar.Event{Kind: belljar.EventRequest, Net: net(belljar.NetEvent{Method: "POST"})}, "4002 6 1"},
		{belljar.Event{Kind: belljar.EventRequest, Net: net(belljar.NetEvent{Method: "BREW", Reason: "x"})}, "4002 99 2"},
		{belljar.Event{Kind: belljar.EventRefuse, Net: net(belljar.NetEvent{Proto: "dns"})}, "4003 1 2"},
		{belljar.Event{Kind: belljar.EventRefuse, Net: net(belljar.NetEvent{Proto: "tls", Method: "GET"})}, "4002 3 2"},
		{belljar.Event{Kind: belljar.EventRefuse, Net: net(belljar.NetEvent{Proto: "tcp"})}, "4001 5 2"},
		{belljar.Event{Kind: belljar.EventFile, File: &belljar.FileEvent{Op: "rename", Verdict: "pass"}}, "1001 5 1"},
		{belljar.Event{Kind: belljar.EventFile, File: &belljar.FileEvent{Op: "new", Verdict: "deny"}}, "1001 99 2"},
		{belljar.Event{Kind: belljar.EventJudge, Judge: &belljar.JudgeEvent{Answer: "allowed"}}, "6003 99 1"},
		{belljar.Event{Kind: belljar.EventJudge, Judge: &belljar.JudgeEvent{Answer: "denied"}}, "6003 99 2"},
		{belljar.Event{Kind: "later"}, "0 99 0"},
	} {
		k := classOf(&c.e)
		if got := fmt.Sprintf("%d %d %d", k.uid, k.activity, k.status); got != c.want {
			t.Errorf("%+v: %s, want %s", c.e, got, c.want)
		}
	}
}

// FuzzConvert: whatever came from inside can be sent.
func FuzzConvert(f *testing.F) {
	f.Add("/bin/sh", "a\x00\xff\u202e", "GET", int64(5))
	f.Fuzz(func(t *testing.T, a, b, c string, n int64) {
		at := time.Unix(0, n)
		s := newSpans("x")
		for i, e := range []belljar.Event{
			{Kind: belljar.EventStart, Start: &belljar.StartEvent{Name: a, Argv: []string{b}, Workspace: c}},
			{Kind: belljar.EventExec, Exec: &belljar.ExecEvent{PID: int(n), Path: a, Argv: []string{b, c}, Dir: c}},
			{Kind: belljar.EventExec, Exec: &belljar.ExecEvent{PID: 1, Parent: int(n), Path: b, Refused: strings.Repeat(a, 100)}},
			{Kind: belljar.EventRequest, Net: &belljar.NetEvent{Proto: a, Host: b, Method: c, Path: a, Reason: b, Status: int(n), LLM: &belljar.LLMSpent{Model: a, Input: n}}},
			{Kind: belljar.EventAsk, Ask: &belljar.AskEvent{ID: a, Note: b, Command: c, By: a}},
			{Kind: belljar.EventJudge, Judge: &belljar.JudgeEvent{Agent: a, Line: b, Dir: c, Reason: a, Rule: b, Part: c}},
			{Kind: belljar.EventFile, File: &belljar.FileEvent{Path: a, To: b, Op: c}},
			{Kind: belljar.EventKind(a)},
			{Kind: belljar.EventExit, Exit: &belljar.ExitEvent{PID: int(n)}},
			{Kind: belljar.EventEnd, End: &belljar.EndEvent{End: belljar.End{Reason: belljar.EndReason(b)}}},
		} {
			e.Time = at
			entry := event.Entry{Seq: uint64(i), Event: e, Raw: []byte(a + b), Hash: c}
			if _, err := proto.Marshal(record("x", &entry)); err != nil {
				t.Fatal(err)
			}
			for _, x := range s.take(&entry) {
				if _, err := proto.Marshal(x); err != nil {
					t.Fatal(err)
				}
			}
			if e.Start != nil {
				if _, err := proto.Marshal(resourceOf(e.Start)); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
