package event

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

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

func TestRemove(t *testing.T) {
	state := t.TempDir()
	r := newRecord(t, state, "gone")
	if err := Remove(state, "gone"); err == nil {
		t.Fatal("a running record was removed")
	}
	r.Close(belljar.EndEvent{})
	if err := os.MkdirAll(filepath.Join(goneDir(state, "half"), "x"), 0o700); err != nil { // of one that was killed
		t.Fatal(err)
	}
	if err := Remove(state, "gone"); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(state, recordsDir)); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
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
