package event

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belljar-dev/belljar"
)

// newRecord makes a record for a test and closes it at the end.
func newRecord(t testing.TB, state, id string, more ...func(*CreateOptions)) *Record {
	t.Helper()
	o := CreateOptions{State: state, Start: belljar.StartEvent{ID: id, Name: "test", Argv: []string{"true"}}}
	for _, f := range more {
		f(&o)
	}
	r, err := Create(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(belljar.EndEvent{}) })
	return r
}

func execEvent(n int) belljar.Event {
	return belljar.Event{Kind: belljar.EventExec, Exec: &belljar.ExecEvent{
		PID: n, Path: "/usr/bin/git", Argv: []string{"git", "status", fmt.Sprint(n)}, Dir: "/home/alice/widget",
	}}
}

func fileEvent(path string) belljar.Event {
	return belljar.Event{Kind: belljar.EventFile, File: &belljar.FileEvent{Path: path, Op: "write", Verdict: "pass"}}
}

func readAll(t testing.TB, path string, f Filter) []Entry {
	t.Helper()
	var all []Entry
	for e, err := range Read(path, f) {
		if err != nil {
			t.Fatal(err)
		}
		e.Raw = nil
		all = append(all, e)
	}
	return all
}

func kinds(all []Entry) string {
	var s []string
	for _, e := range all {
		s = append(s, string(e.Kind))
	}
	return strings.Join(s, " ")
}

func mustVerify(t testing.TB, state, id string, want Status) Report {
	t.Helper()
	r, err := Verify(state, id)
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK() || r.Status != want {
		t.Fatalf("record %s: status %s, faults %+v; want %s without faults", id, r.Status, r.Faults, want)
	}
	return r
}

func TestRecord(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	plan := &belljar.Plan{ID: "a1", Name: "test"}
	r := newRecord(t, state, "a1", func(o *CreateOptions) { o.Plan = plan })
	ctx := t.Context()
	if err := r.Record(ctx, execEvent(1)); err != nil {
		t.Fatal(err)
	}
	// What Record has returned for is in the file, together with what came before.
	if got := kinds(readAll(t, r.Path(), Filter{})); got != "start plan exec" {
		t.Fatalf("on record: %s", got)
	}
	if rep := mustVerify(t, state, "a1", Running); rep.Events != 3 {
		t.Errorf("%d events, want 3", rep.Events)
	}
	if err := r.Record(ctx, fileEvent("a\xffb\u202e")); err != nil {
		t.Fatal(err)
	}
	end := belljar.EndEvent{End: belljar.End{Reason: belljar.EndExited}, Status: 3, Commands: 1}
	if err := r.Close(end); err != nil {
		t.Fatal(err)
	}
	all := readAll(t, r.Path(), Filter{})
	if got := kinds(all); got != "start plan exec file end" {
		t.Fatalf("on record: %s", got)
	}
	if got := all[3].File.Path; got != "a\\xffb\u202e" {
		t.Errorf("path %q", got)
	}
	if diff := cmp.Diff(&end, all[4].End); diff != "" {
		t.Errorf("end: %s", diff)
	}
	mustVerify(t, state, "a1", Ended)
	if err := r.Record(ctx, execEvent(2)); !errors.Is(err, ErrClosed) {
		t.Errorf("Record after Close: %v", err)
	}
	if err := r.Record(ctx, fileEvent("late")); !errors.Is(err, ErrClosed) {
		t.Errorf("Record after Close: %v", err)
	}
	if err := r.Close(belljar.EndEvent{}); err != nil {
		t.Errorf("second Close: %v", err)
	}
	raw, _ := os.ReadFile(r.Path())
	if strings.Contains(string(raw), "\u202e") {
		t.Error("the file itself has bidi controls")
	}
	checkModes(t, state, r)
}

func checkModes(t *testing.T, state string, r *Record) {
	t.Helper()
	for path, want := range map[string]os.FileMode{
		r.Path(): 0o600, filepath.Dir(r.Path()): 0o700, filepath.Join(state, anchorsFile): 0o600,
	} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", path, st.Mode(), err, want)
		}
	}
}

func TestPreviousIsTheHeadClosedLast(t *testing.T) {
	state := t.TempDir()
	a := newRecord(t, state, "a")
	a.Close(belljar.EndEvent{})
	b := newRecord(t, state, "b")
	c := newRecord(t, state, "c")
	head := mustVerify(t, state, "a", Ended).Head
	for _, r := range []*Record{b, c} {
		if got := readAll(t, r.Path(), Filter{})[0].Start.Previous; got != head {
			t.Errorf("record %s names %s before it, want %s", r.ID(), got, head)
		}
	}
	c.Close(belljar.EndEvent{})
	b.Close(belljar.EndEvent{})
	for _, id := range []string{"a", "b", "c"} {
		mustVerify(t, state, id, Ended)
	}
}

func TestCreateRefuses(t *testing.T) {
	state := t.TempDir()
	for _, id := range []string{"", "..", "a/b", "-x", ".new-a", strings.Repeat("a", 200), "a\nb"} {
		if r, err := Create(CreateOptions{State: state, Start: belljar.StartEvent{ID: id}}); err == nil {
			r.Close(belljar.EndEvent{})
			t.Errorf("id %q was accepted", id)
		}
	}
	newRecord(t, state, "twice")
	if _, err := Create(CreateOptions{State: state, Start: belljar.StartEvent{ID: "twice"}}); !errors.Is(err, os.ErrExist) {
		t.Errorf("second record of one id: %v", err)
	}
	mustVerify(t, state, "twice", Running)
	if left, _ := filepath.Glob(filepath.Join(state, recordsDir, ".new-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestConcurrent(t *testing.T) {
	state := t.TempDir()
	r := newRecord(t, state, "many")
	var wg sync.WaitGroup
	const writers, each = 8, 500
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := r.Record(t.Context(), execEvent(w*each+i)); err != nil {
					t.Error(err)
				}
				if err := r.Record(t.Context(), fileEvent(fmt.Sprint(w, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := r.Close(belljar.EndEvent{}); err != nil {
		t.Fatal(err)
	}
	if rep := mustVerify(t, state, "many", Ended); rep.Events != 2*writers*each+2 {
		t.Errorf("%d events, want %d", rep.Events, 2*writers*each+2)
	}
	// The commands of one writer are in its order.
	last := make(map[int]int)
	for _, e := range readAll(t, r.Path(), Filter{Kinds: []belljar.EventKind{belljar.EventExec}}) {
		w, i := e.Exec.PID/each, e.Exec.PID%each
		if i != last[w] {
			t.Fatalf("writer %d: event %d came, want %d", w, i, last[w])
		}
		last[w]++
	}
}

func TestSampling(t *testing.T) {
	state := t.TempDir()
	r := newRecord(t, state, "flood")
	// Nearly used up, and never filled again.
	r.queue.buckets[lane{kind: belljar.EventFile}] = &bucket{tokens: 100, last: time.Now().Add(time.Hour)}
	const n = 2000
	for i := range n {
		if err := r.Record(t.Context(), fileEvent(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Record(t.Context(), execEvent(7)); err != nil {
		t.Fatal(err)
	}
	r.Close(belljar.EndEvent{})
	var written, counted int64
	for _, e := range readAll(t, r.Path(), Filter{}) {
		switch {
		case e.File != nil:
			written++
		case e.Sampled != nil && e.Sampled.Of == belljar.EventFile:
			counted += e.Sampled.Count
		}
	}
	if written != 100 || written+counted != n {
		t.Errorf("%d written and %d counted of %d", written, counted, n)
	}
	mustVerify(t, state, "flood", Ended)
}

// A flood of ordinary events must not hide what matters.
func TestFloodHidesNothing(t *testing.T) {
	state := t.TempDir()
	r := newRecord(t, state, "flood")
	r.turn <- struct{}{} // nothing can be written meanwhile
	connect := func(host string) belljar.Event {
		return belljar.Event{Kind: belljar.EventConnect, Net: &belljar.NetEvent{Proto: "tls", Host: host, Port: 443}}
	}
	send := func(e belljar.Event) {
		t.Helper()
		if err := r.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20_000 {
		send(fileEvent(fmt.Sprint("out/", i)))
		send(connect("registry.example"))
	}
	hook := fileEvent(".git/hooks/pre-commit")
	hook.File.Verdict, hook.File.Class = "hold", "self-running"
	send(hook)
	send(connect("drop.example"))
	r.release()
	r.Close(belljar.EndEvent{})
	found := ""
	for _, e := range readAll(t, r.Path(), Filter{}) {
		if e.File != nil && e.File.Class != "" || e.Net != nil && e.Net.Host == "drop.example" {
			found += string(e.Kind) + " "
		}
	}
	if found != "file connect " {
		t.Errorf("on record of what matters: %q", found)
	}
	mustVerify(t, state, "flood", Ended)
}

func TestFull(t *testing.T) {
	state := t.TempDir()
	const most = 64 << 10
	r := newRecord(t, state, "full", func(o *CreateOptions) { o.MaxBytes = most })
	var acked, refused int64
	for i := range 5000 {
		switch err := r.Record(t.Context(), execEvent(i)); {
		case err == nil && refused == 0:
			acked++
		case errors.Is(err, ErrFull):
			refused++
		default:
			t.Fatalf("event %d: %v", i, err)
		}
		r.Record(t.Context(), fileEvent("x"))
	}
	select {
	case <-r.Full():
	default:
		t.Fatal("Full is not closed")
	}
	if !errors.Is(r.Err(), ErrFull) {
		t.Errorf("Err: %v", r.Err())
	}
	// Why it ends can still be said.
	limit := belljar.Event{Kind: belljar.EventLimit, Limit: &belljar.LimitEvent{Limit: "time", Ended: true}}
	if err := r.Record(t.Context(), limit); err != nil {
		t.Errorf("limit event: %v", err)
	}
	if err := r.Close(belljar.EndEvent{End: belljar.End{Reason: belljar.EndLimit, Limit: "log"}}); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, state, "full", Ended)
	if st, _ := os.Stat(r.Path()); st.Size() > most+reserve {
		t.Errorf("%d bytes, more than %d", st.Size(), most+reserve)
	}
	var execs, counted int64
	var limits []string
	for _, e := range readAll(t, r.Path(), Filter{}) {
		switch {
		case e.Exec != nil:
			execs++
		case e.Sampled != nil && e.Sampled.Of == belljar.EventExec:
			counted += e.Sampled.Count
		case e.Limit != nil:
			limits = append(limits, e.Limit.Limit)
		}
	}
	if execs != acked || counted != refused {
		t.Errorf("%d commands on record and %d counted, want %d and %d", execs, counted, acked, refused)
	}
	if got := strings.Join(limits, " "); got != "log time" {
		t.Errorf("limits on record: %s", got)
	}
}

func TestWriteFailure(t *testing.T) {
	state := t.TempDir()
	r := newRecord(t, state, "broken")
	if err := r.Record(t.Context(), execEvent(1)); err != nil {
		t.Fatal(err)
	}
	r.turn <- struct{}{}
	good := r.file
	r.file, _ = os.Open(r.path) // writes fail
	r.release()
	if err := r.Record(t.Context(), execEvent(2)); err == nil {
		t.Fatal("a write that failed was not told")
	}
	<-r.Full()
	if err := r.Err(); err == nil || errors.Is(err, ErrFull) {
		t.Errorf("Err: %v", err)
	}
	if err := r.Close(belljar.EndEvent{}); err == nil {
		t.Error("Close says that all is well")
	}
	good.Close()
	mustVerify(t, state, "broken", Killed)
}

func TestRecordGivesUpWithContext(t *testing.T) {
	r := newRecord(t, t.TempDir(), "slow")
	r.turn <- struct{}{} // a writer that hangs
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := r.Record(ctx, execEvent(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Record: %v", err)
	}
	// Droppable kinds do not wait at all.
	for range 100_000 {
		if err := r.Record(ctx, fileEvent("x")); err != nil {
			t.Fatal(err)
		}
	}
	if r.queue.bytes > maxQueue+maxLine {
		t.Errorf("%d bytes queued", r.queue.bytes)
	}
	r.release()
}

func TestHugeEvents(t *testing.T) {
	state := t.TempDir()
	plan := &belljar.Plan{ID: "huge"}
	for i := range 100_000 {
		plan.Network.Rules = append(plan.Network.Rules, belljar.NetRule{Host: fmt.Sprintf("host%d.example.com", i), Ports: []uint16{443}})
	}
	r := newRecord(t, state, "huge", func(o *CreateOptions) { o.Plan = plan })
	argv := []string{"sh", strings.Repeat("\x01é", 1<<20)}
	for range 100_000 {
		argv = append(argv, "x")
	}
	total := 0
	for _, a := range argv {
		total += len(a)
	}
	e := belljar.Event{Kind: belljar.EventExec, Exec: &belljar.ExecEvent{Path: strings.Repeat("p", 1<<20), Argv: argv}}
	if err := r.Record(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if len(argv) != 100_002 || len(argv[1]) != 3<<20 {
		t.Error("the caller's argv was changed")
	}
	r.Close(belljar.EndEvent{})
	mustVerify(t, state, "huge", Ended)
	all := readAll(t, r.Path(), Filter{})
	kept := 0
	for _, a := range all[2].Exec.Argv {
		kept += len(a)
	}
	if kept+all[2].Exec.Truncated != total || kept > maxArgv {
		t.Errorf("kept %d and cut %d of %d", kept, all[2].Exec.Truncated, total)
	}
	if p := all[1].Plan; len(p.Network.Rules) != 0 || len(p.Enforcement) != 1 || len(plan.Network.Rules) == 0 {
		t.Errorf("the plan that was too long: %d rules, %v", len(p.Network.Rules), p.Enforcement)
	}
}

func TestRemove(t *testing.T) {
	state := t.TempDir()
	r := newRecord(t, state, "gone")
	if err := Remove(state, "gone"); err == nil {
		t.Fatal("a running record was removed")
	}
	r.Close(belljar.EndEvent{})
	if err := Remove(state, "gone"); err != nil {
		t.Fatal(err)
	}
	rep := mustVerify(t, state, "gone", Missing)
	if len(rep.Notes) != 1 {
		t.Errorf("notes: %v", rep.Notes)
	}
	if all, err := VerifyAll(state); err != nil || len(all) != 0 {
		t.Errorf("VerifyAll: %v, %v", all, err)
	}
	var be *belljar.Error
	if _, err := Verify(state, "never"); !errors.As(err, &be) || be.Kind != belljar.KindNoSuch {
		t.Errorf("Verify of nothing: %v", err)
	}
}
