package event

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

func TestSampling(t *testing.T) {
	state := t.TempDir()
	r := newRecord(t, state, "flood")
	// Nearly used up, and never filled again.
	r.mu.Lock()
	r.queue.buckets[lane{kind: belljar.EventFile}] = &bucket{tokens: 100, last: time.Now().Add(time.Hour)}
	r.mu.Unlock()
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
	r.mu.Lock()
	if r.queue.bytes > maxQueue+maxLine {
		t.Errorf("%d bytes queued", r.queue.bytes)
	}
	r.mu.Unlock()
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

// What is cut off is counted, in every event.
func TestCutIsSaid(t *testing.T) {
	long := strings.Repeat("n", 1<<20)
	said := fmt.Sprintf("…[%d bytes more]", 1<<20-maxString)
	f := clean(belljar.Event{File: &belljar.FileEvent{Path: long, To: "short"}}).File
	if f.Path != long[:maxString]+said || f.To != "short" {
		t.Errorf("a path of 1 MiB ends with %q, a short one is %q", f.Path[maxString:], f.To)
	}
	argv := []string{"sh", long, "-c"}
	for _, e := range []belljar.Event{
		{Start: &belljar.StartEvent{Argv: argv}}, {End: &belljar.EndEvent{Argv: argv}}, {Take: &belljar.TakeEvent{Argv: argv}},
	} {
		c := clean(e)
		var got []string
		switch {
		case c.Start != nil:
			got = c.Start.Argv
		case c.End != nil:
			got = c.End.Argv
		case c.Take != nil:
			got = c.Take.Argv
		}
		kept := 0
		for _, a := range got[:len(got)-1] {
			kept += len(a)
		}
		if want := fmt.Sprintf("…[%d bytes more]", 1<<20+4-kept); got[len(got)-1] != want || kept > maxArgv {
			t.Errorf("%d bytes are kept, then %q, want %q", kept, got[len(got)-1], want)
		}
	}
	if len(argv) != 3 {
		t.Error("the caller's argv was changed")
	}
}
