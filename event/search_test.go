package event

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

// filters are one of every sort, for the events of story.
func filters() []Filter {
	at := story()[0].Time
	return []Filter{
		{}, {Host: "api.example.com"}, {Host: "*.example.com"}, {Host: "192.0.2.1"}, {Host: "*"}, {Host: "\u202e"},
		{Kinds: []belljar.EventKind{belljar.EventExec}}, {Kinds: []belljar.EventKind{belljar.EventExit, belljar.EventFile}},
		{Path: "src/"}, {Path: "Make*"}, {Path: "["}, {Path: "/usr/bin"}, {Path: "/usr/[b]in/g?t"}, {Path: "*"},
		{Process: "git"}, {Process: "2"}, {Process: "git", Kinds: []belljar.EventKind{belljar.EventExit}}, {Process: "s*"},
		{Process: "git", Since: at.Add(2 * time.Second)}, {Since: at.Add(2 * time.Second), Until: at.Add(4 * time.Second)},
		{Verdict: VerdictAllow}, {Verdict: VerdictDeny}, {Verdict: VerdictHold}, {Verdict: VerdictHide}, {Verdict: VerdictAsk},
		{Verdict: VerdictDeny, Kinds: []belljar.EventKind{belljar.EventExec}}, {Text: "direnv"},
	}
}

// What is judged by bytes first, in pieces of any size, is what is judged line by line.
func TestSearchFindsWhatReadFinds(t *testing.T) {
	state := t.TempDir()
	for _, id := range []string{"a", "b", "c"} {
		storyRecord(t, state, id)
	}
	infos, err := List(state)
	if err != nil {
		t.Fatal(err)
	}
	for n := range infos {
		infos[n].Time = story()[0].Time // the clock of the events
	}
	some := 0
	for n, f := range filters() {
		var want []string
		for _, i := range infos {
			for e, err := range Read(i.Path, f) {
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, i.ID+string(e.Raw))
			}
		}
		if len(want) > 0 {
			some++
		}
		for _, z := range []searcher{{1, 97}, {7, 100}, {64, 301}, {4096, 1024}, {1 << 20, 16 << 20}} {
			var got []string
			for e, err := range z.search(t.Context(), infos, f) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, e.Record.ID+string(e.Raw))
			}
			if !slices.Equal(got, want) {
				t.Errorf("filter %d in pieces %+v: %d entries, want %d", n, z, len(got), len(want))
			}
		}
	}
	if some < 20 {
		t.Errorf("only %d filters select anything", some)
	}
}

func TestVerdictsAndProcesses(t *testing.T) {
	path := storyRecord(t, t.TempDir(), "v")
	for _, tt := range []struct {
		f    Filter
		want string
	}{
		{Filter{Verdict: VerdictDeny}, "exec refuse"},
		{Filter{Verdict: VerdictAllow}, "exec connect connect file file"},
		{Filter{Verdict: VerdictHold}, "file"},
		{Filter{Process: "git"}, "exec exit"},
		{Filter{Process: "/usr/bin/git"}, "exec exit"},
		{Filter{Process: "2"}, "exec exit"},
		{Filter{Process: "sudo"}, "exec"},
		{Filter{Process: "3"}, "exec"},
		{Filter{Process: "gi"}, ""},
	} {
		if got := kinds(readAll(t, path, tt.f)); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.f, got, tt.want)
		}
	}
}

// A number that another program has meanwhile is not taken for the first one's.
func TestProcessNumbersAreUsedAgain(t *testing.T) {
	r := newRecord(t, t.TempDir(), "n")
	exit := belljar.Event{Kind: belljar.EventExit, Exit: &belljar.ExitEvent{PID: 5}}
	other := execEvent(5)
	other.Exec.Path = "/bin/sh"
	for _, e := range []belljar.Event{execEvent(5), exit, other, exit, execEvent(5), other, exit} {
		if err := r.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if got := kinds(readAll(t, r.Path(), Filter{Process: "git"})); got != "exec exit exec" {
		t.Errorf("got %q", got)
	}
}

func TestSearchLeavesOutWhatWasOverBefore(t *testing.T) {
	state := t.TempDir()
	path := storyRecord(t, state, "old")
	old := time.Now().Add(-30 * 24 * time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	i := Info{ID: "old", Path: path, Last: old, Time: old, Start: &belljar.StartEvent{}}
	z := searcher{1 << 10, 1 << 20}
	if s := z.shares(&i, &Filter{Since: old.Add(2 * clockSlack)}); len(s) != 0 {
		t.Errorf("a record that was over before is read: %d shares", len(s))
	}
	if s := z.shares(&i, &Filter{Since: old.Add(clockSlack / 2)}); len(s) != 1 {
		t.Errorf("a clock that was set back hides events: %d shares", len(s))
	}
	if s := z.shares(&i, &Filter{Until: old.Add(-2 * clockSlack)}); len(s) != 0 {
		t.Errorf("a record that began later is read: %d shares", len(s))
	}
	now := time.Now()
	if err := os.Chtimes(path, now, now); err != nil {
		t.Fatal(err)
	}
	if s := z.shares(&i, &Filter{Since: old.Add(2 * clockSlack)}); len(s) != 1 {
		t.Errorf("a record that was written to since is left out: %d shares", len(s))
	}
}

func TestSearchTellsDamage(t *testing.T) {
	state := t.TempDir()
	path := storyRecord(t, state, "d")
	raw := get(t, path)
	long := append(append([]byte(`"kind":"exec"`), bytes.Repeat([]byte("x"), maxLine+100)...), '\n')
	put(t, path, slices.Concat([]byte("{\"kind\":\"exec\"}\n"), long, raw))
	infos := []Info{{ID: "d", Path: path}, {ID: "gone", Path: filepath.Join(state, "gone")}}
	for _, z := range []searcher{{64, 1 << 10}, {1 << 20, 16 << 20}} {
		var errs []string
		found := 0
		for _, err := range z.search(t.Context(), infos, Filter{Kinds: []belljar.EventKind{belljar.EventExec}}) {
			if err != nil {
				errs = append(errs, err.Error())
				continue
			}
			found++
		}
		if all := strings.Join(errs, "\n"); found != 2 || len(errs) != 3 || !strings.Contains(all, "gone") || !strings.Contains(all, " than ") {
			t.Errorf("%+v: %d found, errors:\n%s", z, found, all)
		}
	}
}

func TestSearchEndsEarly(t *testing.T) {
	state := t.TempDir()
	for n := range 40 {
		storyRecord(t, state, fmt.Sprintf("r%02d", n))
	}
	infos, err := List(state)
	if err != nil {
		t.Fatal(err)
	}
	for range Search(t.Context(), infos, Filter{}) {
		break // and nothing hangs
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	var last error
	for _, err := range Search(ctx, infos, Filter{}) {
		cancel()
		n, last = n+1, err
	}
	if last == nil {
		t.Errorf("%d entries, and nobody says that it was broken off", n)
	}
}

func FuzzSieve(f *testing.F) {
	f.Add("a.b", "src/x", uint8(3))
	f.Add("*.b", "*\\[", uint8(4))
	f.Fuzz(func(t *testing.T, host, file string, n uint8) {
		v := append(Verdicts(), "")[int(n)%6]
		for _, e := range []belljar.Event{
			{Kind: belljar.EventFile, Time: time.Unix(1, 0), File: &belljar.FileEvent{Path: file, To: host, Verdict: "hold"}},
			{Kind: belljar.EventRefuse, Time: time.Unix(1, 0), Net: &belljar.NetEvent{Host: host, Addr: file}},
			{Kind: belljar.EventExec, Time: time.Unix(1, 0), Exec: &belljar.ExecEvent{Path: file, Called: host, Refused: host}},
			{Kind: belljar.EventJudge, Time: time.Unix(1, 0), Judge: &belljar.JudgeEvent{Line: host, Dir: file, Verdict: "allow", Answer: "denied"}},
		} {
			body, err := redactor{}.encode(e)
			if err != nil {
				t.Fatal(err)
			}
			line, _ := appendLine(nil, 1, genesis("record", "x"), body)
			entry, err := parseEntry(bytes.TrimSuffix(line, []byte("\n")))
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range []Filter{{Host: host}, {Host: host, Verdict: v}, {Path: file, Verdict: v}, {Path: file}, {Process: file}, {Since: time.Unix(1, 0)}} {
				s := newSieve(&q)
				got, _ := s.next(line)
				if q.Match(&entry) && (got == nil || !s.may(got)) {
					t.Errorf("%+v selects the line, but the sieve holds it back: %s", q, line)
				}
			}
		}
	})
}
