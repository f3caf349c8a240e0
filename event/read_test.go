package event

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/terminal"
)

// story is one event of every kind, with hostile strings.
func story() []belljar.Event {
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	evil := "\x1b]52;c;x\a\u202e\n"
	rule := &belljar.Origin{Layer: "user", File: "policy.yaml", Line: 7, Text: "api.example.com"}
	events := []belljar.Event{
		{Kind: belljar.EventExec, Exec: &belljar.ExecEvent{PID: 2, Path: "/usr/bin/git", Argv: []string{"git", "commit", "-m", "it's " + evil}, Dir: "/w"}},
		{Kind: belljar.EventExec, Exec: &belljar.ExecEvent{PID: 3, Path: "/usr/bin/sudo", Argv: []string{"sudo", "sh"}, Refused: "denied " + evil}},
		{Kind: belljar.EventExit, Exit: &belljar.ExitEvent{PID: 2, Status: belljar.ExitStatus{Signal: 9}}},
		{Kind: belljar.EventConnect, Net: &belljar.NetEvent{Proto: "tls", Host: "api.example.com", Addr: "192.0.2.1", Port: 443, Sent: 2048, Received: 3, Millis: 1500, Rule: rule}},
		{Kind: belljar.EventConnect, Net: &belljar.NetEvent{Proto: "tcp", Host: "db.example.com", Port: 5432, Count: 3}},
		{Kind: belljar.EventRefuse, Net: &belljar.NetEvent{Proto: "dns", Host: "evil.example", Reason: "not in the policy" + evil, Nearest: rule, Fix: "--allow evil.example"}},
		{Kind: belljar.EventFile, File: &belljar.FileEvent{Path: "src/main.go", Op: "write", Verdict: "pass"}},
		{Kind: belljar.EventFile, File: &belljar.FileEvent{Path: "Makefile", Op: "write", Verdict: "pass", Class: "user-run"}},
		{Kind: belljar.EventFile, File: &belljar.FileEvent{Path: "x", Op: "rename", To: ".envrc" + evil, Verdict: "hold", Class: "self-running", Reason: "direnv runs it"}},
		{Kind: belljar.EventLimit, Limit: &belljar.LimitEvent{Limit: "memory", Max: 1 << 30, Used: 1 << 30, Ended: true}},
		{Kind: belljar.EventTerminal, Terminal: &belljar.TerminalEvent{What: "clipboard (OSC 52)", Count: 4}},
		{Kind: belljar.EventPublish, Net: &belljar.NetEvent{Proto: "publish", Addr: "127.3.2.1", Port: 3000}},
		{Kind: belljar.EventPlan, Plan: &belljar.Plan{Name: "x", Limits: belljar.Limits{Memory: 8 << 30, CPUs: 2, Processes: 4096, Time: time.Hour}}},
	}
	for i := range events {
		events[i].Time = at.Add(time.Duration(i) * time.Second)
	}
	return events
}

func storyRecord(t *testing.T, state, id string) string {
	t.Helper()
	r := newRecord(t, state, id)
	for _, e := range story() {
		if err := r.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	end := belljar.EndEvent{End: belljar.End{Reason: belljar.EndLimit, Limit: "memory"}, Status: 137, Millis: 1234}
	if err := r.Close(end); err != nil {
		t.Fatal(err)
	}
	return r.Path()
}

func TestFilter(t *testing.T) {
	path := storyRecord(t, t.TempDir(), "f")
	at := story()[0].Time
	tests := []struct {
		name string
		f    Filter
		want string
	}{
		{"kinds", Filter{Kinds: []belljar.EventKind{belljar.EventExit, belljar.EventLimit}}, "exit limit"},
		{"since and until", Filter{Since: at.Add(2 * time.Second), Until: at.Add(4 * time.Second)}, "exit connect"},
		{"host", Filter{Host: "API.example.com."}, "connect"},
		{"hosts below", Filter{Host: "*.example.com"}, "connect connect"},
		{"address", Filter{Host: "192.0.2.1"}, "connect"},
		{"the name itself is not below", Filter{Host: "*.api.example.com"}, ""},
		{"path", Filter{Path: "src/main.go"}, "file"},
		{"folder", Filter{Path: "src/"}, "file"},
		{"pattern", Filter{Path: "Make*"}, "file"},
		{"program", Filter{Path: "/usr/bin"}, "exec exec"},
		{"text", Filter{Text: "DIRENV"}, "file"},
		{"both", Filter{Host: "*.example.com", Text: "5432"}, "connect"},
		{"a pattern that is none", Filter{Path: "["}, ""},
	}
	for _, tt := range tests {
		if got := kinds(readAll(t, path, tt.f)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestPrint(t *testing.T) {
	path := storyRecord(t, t.TempDir(), "p")
	var out bytes.Buffer
	for e, err := range Read(path, Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if err := Print(&out, &e, PrintOptions{UTC: true, Date: true}); err != nil {
			t.Fatal(err)
		}
		if s := string(e.Raw); terminal.Escape(s) != s {
			t.Errorf("the raw line is not safe: %q", s)
		}
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != len(story())+2 {
		t.Errorf("%d lines for %d events", len(lines), len(story())+2)
	}
	for _, l := range lines {
		if terminal.Escape(l) != l {
			t.Errorf("not safe: %q", l)
		}
	}
	for _, want := range []string{
		`2026-11-28 12:00:00.000  exec      git commit -m 'it'\''s \x1b]52;c;x\x07\u202e\n'  [/usr/bin/git]  in /w  pid 2`,
		`exec      sudo sh  [/usr/bin/sudo]  pid 3  REFUSED: denied \x1b]52;c;x\x07\u202e\n`,
		"exit      pid 2 killed by signal 9 after 2s  [/usr/bin/git]",
		"connect   tls api.example.com:443 (192.0.2.1)  sent 2 KiB, received 3 B  1.5s  by user policy.yaml:7 `api.example.com`",
		`refuse    dns evil.example  not in the policy\x1b]52;c;x\x07\u202e\n  nearest: user policy.yaml:7 ` + "`api.example.com`  fix: --allow evil.example",
		`file      hold rename x -> .envrc\x1b]52;c;x\x07\u202e\n  (self-running)  direnv runs it`,
		"limit     memory: 1073741824 of 1073741824, this ended the run",
		"end       limit, status 137 after 1.234s: 0 commands, 0 files passed, 0 held, limit memory",
	} {
		if !strings.Contains(out.String(), want+"\n") {
			t.Errorf("missing: %s\nin:\n%s", want, out.String())
		}
	}
	var plain, colored bytes.Buffer
	for e := range Read(path, Filter{Kinds: []belljar.EventKind{belljar.EventRefuse}}) {
		Print(&plain, &e, PrintOptions{UTC: true})
		Print(&colored, &e, PrintOptions{UTC: true, Color: true})
	}
	if strings.Contains(plain.String(), "\x1b") || !strings.Contains(colored.String(), "\x1b[31m") {
		t.Errorf("colours: %q, %q", plain.String(), colored.String())
	}
}

func TestSummarise(t *testing.T) {
	path := storyRecord(t, t.TempDir(), "s")
	s := Summarise(Read(path, Filter{}))
	if s.Commands != 1 || s.Events != int64(len(story()))+2 || s.End.Status != 137 || s.Start.ID != "s" {
		t.Errorf("%+v", s)
	}
	want := []Count{{Name: "api.example.com", Count: 1}, {Name: "db.example.com:5432", Count: 3}}
	slices.SortFunc(s.Reached, func(a, b Count) int { return strings.Compare(a.Name, b.Name) })
	if diff := cmp.Diff(want, s.Reached); diff != "" {
		t.Error(diff)
	}
	if len(s.Passed) != 2 || s.Passed[0].Name != "Makefile" || s.Held[0].Note != "self-running" || s.Refused[0].Fix == "" {
		t.Errorf("files and refusals: %+v %+v %+v", s.Passed, s.Held, s.Refused)
	}
	var out bytes.Buffer
	if err := s.Write(&out, 1); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); terminal.EscapeText(got) != got || !strings.Contains(got, "… 1 more") ||
		!strings.Contains(got, "limit, status 137") {
		t.Errorf("summary:\n%s", got)
	}
}

func TestSummaryIsBounded(t *testing.T) {
	s := Summarise(func(yield func(Entry, error) bool) {
		for i := range 3 * maxGroups {
			e := execEvent(i)
			e.Exec.Path = strings.Repeat("x", 1) + string(rune('a'+i%26)) + time.Duration(i).String()
			if !yield(Entry{Event: e}, nil) || !yield(Entry{}, errForm) {
				return
			}
		}
	})
	if len(s.Programs) != maxGroups+1 || s.Commands != 3*maxGroups || len(s.Errors) != 10 {
		t.Errorf("%d programs, %d commands, %d errors", len(s.Programs), s.Commands, len(s.Errors))
	}
}

func TestSummaryFitsOneScreen(t *testing.T) {
	var s Summary
	many := make([]Count, 50)
	s.Programs, s.Stopped, s.Reached, s.Failed, s.Refused, s.Used, s.Leaks = many, many, many, many, many, many, many
	s.Models, s.Passed, s.Held, s.Denied, s.Limits, s.Terminal, s.Sampled = many, many, many, many, many, many, many
	for lines, want := range map[int]int{48: 44, 64: 58, 0: 184} {
		var out bytes.Buffer
		if err := s.Write(&out, lines); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(out.String(), "\n"); got > lines && lines > 0 || got < want-14 {
			t.Errorf("%d lines for a screen of %d:\n%s", got, lines, out.String())
		}
	}
}

func TestReadGoesOnBehindDamage(t *testing.T) {
	state := t.TempDir()
	path := storyRecord(t, state, "d")
	lines := bytes.SplitAfter(get(t, path), []byte("\n"))
	lines[1] = []byte("{\"seq\":\n")
	lines[3] = append(bytes.Repeat([]byte("x"), maxLine+5), '\n')
	put(t, path, append(bytes.Join(lines, nil), "torn"...))
	var good int
	var bad []string
	for _, err := range Read(path, Filter{}) {
		if err != nil {
			bad = append(bad, err.Error())
		} else {
			good++
		}
	}
	if good != len(story()) || len(bad) != 2 || !strings.HasPrefix(bad[0], "line 2:") || !strings.HasPrefix(bad[1], "line 4: longer") {
		t.Errorf("%d good, errors %q", good, bad)
	}
}

func TestFollow(t *testing.T) {
	state := t.TempDir()
	r := newRecord(t, state, "live")
	got := make(chan string)
	go func() {
		defer close(got)
		for e, err := range Follow(t.Context(), r.Path(), Filter{}) {
			if err != nil {
				t.Error(err)
				return
			}
			got <- string(e.Kind)
		}
	}()
	next := func(want string) {
		t.Helper()
		select {
		case k := <-got:
			if k != want {
				t.Errorf("followed %q, want %q", k, want)
			}
		case <-time.After(2 * time.Minute):
			t.Fatalf("no %q", want)
		}
	}
	next("start")
	r.Record(t.Context(), execEvent(1))
	next("exec")
	r.Record(t.Context(), fileEvent("x"))
	next("file") // by itself, without anything that blocks
	r.Close(belljar.EndEvent{})
	next("end")
	if k, ok := <-got; ok {
		t.Errorf("after the end: %q", k)
	}
}

func TestFollowEnds(t *testing.T) {
	state := t.TempDir()
	r := newRecord(t, state, "dead")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range Follow(ctx, r.Path(), Filter{}) {
		last = err
		cancel()
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("after cancel: %v", last)
	}
	abandon(r)
	n := 0
	for _, err := range Follow(t.Context(), r.Path(), Filter{}) {
		if err != nil {
			t.Error(err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d entries of a killed record", n)
	}
}

func TestListAndFind(t *testing.T) {
	state := t.TempDir()
	if l, err := List(state); err != nil || len(l) != 0 {
		t.Errorf("empty state: %v, %v", l, err)
	}
	name := func(n string) func(*CreateOptions) { return func(o *CreateOptions) { o.Start.Name = n } }
	newRecord(t, state, "20261128-120000-aa", name("red")).Close(belljar.EndEvent{Status: 4})
	newRecord(t, state, "20261128-130000-bb", name("blue")).Close(belljar.EndEvent{})
	dead := newRecord(t, state, "20261128-140000-cc", name("red"))
	abandon(dead)
	newRecord(t, state, "20261128-150000-dd", name("green"))
	damaged := filepath.Dir(recordPath(state, "20261128-110000-ee"))
	if err := os.MkdirAll(damaged, 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(damaged, eventsFile), []byte("rubbish\n"))

	l, err := List(state)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range l {
		got = append(got, i.Name+":"+string(i.Status))
	}
	slices.Sort(got)
	if want := ":damaged blue:ended green:running red:ended red:killed"; strings.Join(got, " ") != want {
		t.Errorf("list: %v, want %s", got, want)
	}
	for arg, want := range map[string]string{
		"red": "20261128-140000-cc", "blue": "20261128-130000-bb", "": "20261128-150000-dd",
		"20261128-120000-aa": "20261128-120000-aa", "20261128-15": "20261128-150000-dd",
	} {
		if i, err := Find(state, arg); err != nil || i.ID != want {
			t.Errorf("Find(%q): %s, %v; want %s", arg, i.ID, err, want)
		}
	}
	// Of two that began in one second the later one is meant, whatever their letters.
	newRecord(t, state, "20261128-160000-zz", name("twin")).Close(belljar.EndEvent{})
	newRecord(t, state, "20261128-160000-aa", name("twin")).Close(belljar.EndEvent{})
	if i, err := Find(state, "twin"); err != nil || i.ID != "20261128-160000-aa" {
		t.Errorf("of two in one second: %s, %v", i.ID, err)
	}
	for _, arg := range []string{"2026", "white", "../x"} {
		var be *belljar.Error
		if _, err := Find(state, arg); !errors.As(err, &be) || be.Kind != belljar.KindNoSuch {
			t.Errorf("Find(%q): %v", arg, err)
		}
	}
}

func TestFindIn(t *testing.T) {
	state := t.TempDir()
	in := func(dir string) func(*CreateOptions) { return func(o *CreateOptions) { o.Start.Workspace = dir } }
	newRecord(t, state, "20261128-120000-aa", in("/work/a")).Close(belljar.EndEvent{})
	newRecord(t, state, "20261128-130000-bb", in("/work/b")).Close(belljar.EndEvent{})
	for dir, want := range map[string]string{
		"/work/a": "aa", "/work/a/deep": "aa", "/work/b": "bb", "/work": "bb", "/work/ab": "bb", "/elsewhere": "bb",
	} {
		if i, err := FindIn(state, dir); err != nil || !strings.HasSuffix(i.ID, want) {
			t.Errorf("FindIn(%q): %s, %v; want %s", dir, i.ID, err, want)
		}
	}
	damaged := recordPath(state, "20261128-140000-cc")
	if err := os.MkdirAll(filepath.Dir(damaged), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, damaged, []byte("rubbish\n"))
	newRecord(t, state, "20261128-150000-dd", in("/work/b")).Close(belljar.EndEvent{})
	if i, err := FindIn(state, "/work/a"); err != nil || i.Status != Damaged {
		t.Errorf("a damaged record was passed over: %+v, %v", i, err)
	}
	if _, err := FindIn(t.TempDir(), "/work/a"); belljar.KindOf(err) != belljar.KindNoSuch {
		t.Errorf("nothing on record: %v", err)
	}
}

func TestTimelineTellsTheTree(t *testing.T) {
	r := newRecord(t, t.TempDir(), "tree")
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	exec := func(pid, parent int, path string) belljar.Event {
		return belljar.Event{Kind: belljar.EventExec, Exec: &belljar.ExecEvent{PID: pid, Parent: parent, Path: path, Argv: []string{path}}}
	}
	exit := func(pid, code int) belljar.Event {
		return belljar.Event{Kind: belljar.EventExit, Exit: &belljar.ExitEvent{PID: pid, Status: belljar.ExitStatus{Code: code}}}
	}
	for i, e := range []belljar.Event{exec(1, 0, "/sh"), exec(2, 1, "/make"), exec(3, 2, "/env"), exec(3, 2, "/cc"), exit(3, 1), exit(2, 0), exit(9, 0), exit(1, 0)} {
		e.Time = at.Add(time.Duration(i) * time.Second)
		if err := r.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for e, err := range Read(r.Path(), Filter{Kinds: []belljar.EventKind{belljar.EventExec, belljar.EventExit}}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, Line(&e))
	}
	want := []string{
		"/sh  pid 1", "  /make  pid 2", "    /env  pid 3", "    /cc  pid 3",
		"    pid 3 exited with 1 after 2s  [/cc]", "  pid 2 exited with 0 after 4s  [/make]", "pid 9 exited with 0", "pid 1 exited with 0 after 7s  [/sh]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestFindTaken: without a name the sandbox that was used last is meant, whenever it was
// made, and none that nobody took.
func TestFindTaken(t *testing.T) {
	state := t.TempDir()
	warm := func(o *CreateOptions) { o.Start.Warm, o.Start.Argv, o.Start.Workspace = true, []string{"sh"}, "/work" }
	taken := newRecord(t, state, "20261128-120000-aa", warm)
	newRecord(t, state, "20261128-130000-bb", func(o *CreateOptions) { o.Start.Workspace = "/work" }).Close(belljar.EndEvent{})
	waits := newRecord(t, state, "20261128-140000-cc", warm)
	defer waits.Close(belljar.EndEvent{})
	for _, find := range []func() (Info, error){
		func() (Info, error) { return FindIn(state, "/work") }, func() (Info, error) { return Find(state, "") },
	} {
		if i, err := find(); err != nil || !strings.HasSuffix(i.ID, "bb") {
			t.Errorf("%s, %v", i.ID, err)
		}
	}
	if err := taken.Record(t.Context(), belljar.Event{Kind: belljar.EventTake, Take: &belljar.TakeEvent{Argv: []string{"make"}}}); err != nil {
		t.Fatal(err)
	}
	if i, err := FindIn(state, "/work"); err != nil || !strings.HasSuffix(i.ID, "aa") || i.Start.Argv[0] != "make" || i.Untaken {
		t.Errorf("%+v, %v", i, err)
	}
	taken.Close(belljar.EndEvent{})
	all, err := List(state)
	if err != nil || len(all) != 3 || all[0].Untaken || !all[2].Untaken {
		t.Errorf("%+v, %v", all, err)
	}
}
