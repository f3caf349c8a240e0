package otlp

import (
	"bytes"
	"context"
	"fmt"
	"github.com/belljar-dev/belljar/internal/headers"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	trace "go.opentelemetry.io/proto/slim/otlp/trace/v1"
)

// quick are pauses for tests.
var quick = times{least: 5 * time.Millisecond, most: 40 * time.Millisecond, fault: 20 * time.Millisecond, poll: 5 * time.Millisecond, patience: time.Minute}

// hangs is after how long something hangs, and is not slow: a busy machine may need long.
const hangs = 5 * time.Minute

// TestMain lets the test binary be the sender, so that it can be killed.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[0] == confinedArg0 {
		confined(os.Args[1], os.Args[2])
	}
	if len(os.Args) == 4 && os.Args[0] == Argv0 {
		d := Destination{Endpoint: os.Args[2], Headers: os.Args[3]}
		if err := exclusively(os.Args[1], d, func() { newSender(os.Args[1], d, quick).run(context.Background()) }); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// newRecord is a record with a start, which is to be sent to url.
func newRecord(t *testing.T, state, id, url string) *event.Record {
	t.Helper()
	r, err := event.Create(event.CreateOptions{State: state, Start: belljar.StartEvent{ID: id, Name: "mine", Argv: []string{"sh"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := Enqueue(state, id, Destination{Endpoint: url}); err != nil {
		t.Fatal(err)
	}
	return r
}

// program records an execve and its exit: two events.
func program(t *testing.T, r *event.Record, pid, parent, code int) {
	t.Helper()
	for _, e := range []belljar.Event{
		{Kind: belljar.EventExec, Exec: &belljar.ExecEvent{PID: pid, Parent: parent, Path: "/usr/bin/p", Argv: []string{"p", fmt.Sprint(pid)}}},
		{Kind: belljar.EventExit, Exit: &belljar.ExitEvent{PID: pid, Status: belljar.ExitStatus{Code: code}}},
	} {
		if err := r.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

func end(t *testing.T, r *event.Record) {
	t.Helper()
	if err := r.Close(belljar.EndEvent{End: belljar.End{Reason: belljar.EndExited}}); err != nil {
		t.Fatal(err)
	}
}

func lines(t *testing.T, state, id string) [][]byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(state, "records", id, "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.SplitAfter(bytes.TrimSuffix(b, []byte("\n")), []byte("\n"))
}

// send runs a sender until it ends by itself.
func send(t *testing.T, state, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	newSender(state, Destination{Endpoint: url}, quick).run(ctx)
	if ctx.Err() != nil {
		t.Fatal("the sender does not end")
	}
	if ids, _ := waiting(state); len(ids) > 0 {
		t.Fatalf("not sent: %q", ids)
	}
}

// TestAway: a receiver that is away, too busy, breaks off, and acknowledges what the sender
// does not learn, has everything once in the end.
func TestAway(t *testing.T) {
	state, rcv := t.TempDir(), newReceiver()
	rcv.answers(func(call int, _ string, _ int) (int, bool) {
		return []int{503, 429, 0, 502, 0, 504, 0}[call%7], call%7 == 2
	})
	url := rcv.serve(t)
	const programs = 3000
	for _, id := range []string{"a", "b"} {
		r := newRecord(t, state, id, url)
		for i := range programs {
			program(t, r, 10+i, 1, 0)
		}
		end(t, r)
	}
	send(t, state, url)
	for _, id := range []string{"a", "b"} {
		rcv.complete(t, id, 2*programs+2, lines(t, state, id))
	}
	if len(rcv.spans) != 2*(programs+1) {
		t.Errorf("%d spans", len(rcv.spans))
	}
	if rcv.again == 0 {
		t.Error("nothing came twice: the test does not test")
	}
}

// TestFollow: what is recorded while the sender runs is sent while the run goes on; the span
// of the run comes with its end.
func TestFollow(t *testing.T) {
	state, rcv := t.TempDir(), newReceiver()
	url := rcv.serve(t)
	r := newRecord(t, state, "a", url)
	done := make(chan struct{})
	go func() { defer close(done); send(t, state, url) }()
	program(t, r, 5, 1, 3)
	await(t, func() bool { rcv.mu.Lock(); defer rcv.mu.Unlock(); return len(rcv.logs) == 3 && len(rcv.spans) == 1 })
	end(t, r)
	<-done
	rcv.complete(t, "a", 4, lines(t, state, "a"))
	run, p := rcv.spans[string(spanID("a", 0))], rcv.spans[string(spanID("a", 1))]
	if run == nil || run.Name != "run mine" || run.Status.Code != trace.Status_STATUS_CODE_OK {
		t.Errorf("%v", run)
	}
	if p == nil || p.Name != "p" || p.Status.Code != trace.Status_STATUS_CODE_ERROR || intOf(p.Attributes, "process.exit.code") != 3 || !bytes.Equal(p.ParentSpanId, run.SpanId) {
		t.Errorf("%v", p)
	}
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(hangs); !ok(); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it does not come")
		}
	}
}

// TestKilledSender: senders that are killed at any moment lose nothing.
func TestKilledSender(t *testing.T) {
	state, rcv := t.TempDir(), newReceiver()
	rcv.answers(func(call int, _ string, _ int) (int, bool) { return 0, call%3 == 0 })
	url := rcv.serve(t)
	const programs = 10_000
	r := newRecord(t, state, "a", url)
	for i := range programs {
		program(t, r, 10+i, 1, 0)
	}
	end(t, r)
	for kills := 0; ; kills++ {
		c := exec.Command("/proc/self/exe")
		c.Args = []string{Argv0, state, url, ""}
		var out bytes.Buffer
		c.Stderr = &out
		before := asked(rcv)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if kills == 10 {
			if err := c.Wait(); err != nil {
				t.Fatalf("%v %s", err, out.String())
			}
			break
		}
		await(t, func() bool { return asked(rcv) > before+1 || len(mustWait(t, state)) == 0 })
		_ = c.Process.Signal(syscall.SIGKILL)
		_ = c.Wait()
	}
	if ids := mustWait(t, state); len(ids) > 0 {
		t.Errorf("not sent: %q", ids)
	}
	rcv.complete(t, "a", 2*programs+2, lines(t, state, "a"))
	if len(rcv.spans) != programs+1 {
		t.Errorf("%d spans", len(rcv.spans))
	}
}

func asked(r *receiver) int { r.mu.Lock(); defer r.mu.Unlock(); return r.calls }

func mustWait(t *testing.T, state string) []string {
	t.Helper()
	ids, err := waiting(state)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// TestKilledRun: a record without an end is sent as far as it goes, and its run has a span.
func TestKilledRun(t *testing.T) {
	state, rcv := t.TempDir(), newReceiver()
	url := rcv.serve(t)
	r := newRecord(t, state, "a", url)
	program(t, r, 5, 1, 0)
	all := lines(t, state, "a")
	end(t, r)
	file := filepath.Join(state, "records", "a", "events.jsonl")
	if err := os.WriteFile(file, append(bytes.Join(all, nil), []byte("\n{\"seq\":3,\"torn")...), 0o600); err != nil {
		t.Fatal(err)
	}
	send(t, state, url)
	rcv.complete(t, "a", 3, all)
	if s := rcv.spans[string(spanID("a", 0))]; s == nil || s.Status.Code != trace.Status_STATUS_CODE_ERROR || s.Status.Message != "killed" {
		t.Errorf("%v", s)
	}
}

// TestRefused: what the receiver refuses for want of a key stays; a single event that it
// calls bad is left out, and that is noted.
func TestRefused(t *testing.T) {
	state, rcv := t.TempDir(), newReceiver()
	open := make(chan struct{})
	rcv.answers(func(int, string, int) (int, bool) {
		select {
		case <-open:
			return 0, false
		default:
			return http.StatusUnauthorized, false
		}
	})
	url := rcv.serve(t)
	r := newRecord(t, state, "a", url)
	end(t, r)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); newSender(state, Destination{Endpoint: url}, quick).run(ctx) }()
	await(t, func() bool { return asked(rcv) > 2 })
	cancel()
	<-done
	if len(mustWait(t, state)) != 1 || rcv.kept() != 0 {
		t.Error("it was forgotten")
	}
	close(open)
	send(t, state, url)
	rcv.complete(t, "a", 2, lines(t, state, "a"))

	rcv.answers(func(_ int, path string, n int) (int, bool) {
		if path == "/v1/logs" && n > 1 {
			return http.StatusBadRequest, false
		}
		return 0, false
	})
	r = newRecord(t, state, "b", url)
	program(t, r, 5, 1, 0)
	end(t, r)
	send(t, state, url)
	rcv.complete(t, "b", 4, lines(t, state, "b"))

	rcv.answers(func(_ int, path string, _ int) (int, bool) {
		if path == "/v1/traces" {
			return http.StatusBadRequest, false
		}
		return 0, false
	})
	r = newRecord(t, state, "c", url)
	end(t, r)
	send(t, state, url)
	if b, err := os.ReadFile(filepath.Join(state, queueDir, refusedPrefix+"c")); err != nil || !strings.Contains(string(b), `"rejected":1`) {
		t.Errorf("%v %s", err, b)
	}
}

// TestPatience: a sender ends when nobody answers for long, and leaves what waits.
func TestPatience(t *testing.T) {
	state := t.TempDir()
	r := newRecord(t, state, "a", "http://127.0.0.1:1")
	end(t, r)
	short := quick
	short.patience = 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	newSender(state, Destination{Endpoint: "http://127.0.0.1:1"}, short).run(ctx)
	if ctx.Err() != nil || len(mustWait(t, state)) != 1 {
		t.Errorf("%v %q", ctx.Err(), mustWait(t, state))
	}
}

// TestOneSender: two do not send at once; what comes when one ends is not left.
func TestOneSender(t *testing.T) {
	state, d := t.TempDir(), Destination{Endpoint: "x"}
	if err := Enqueue(state, "a", d); err != nil {
		t.Fatal(err)
	}
	calls := 0
	err := exclusively(state, d, func() {
		if calls++; calls == 1 {
			if err := exclusively(state, d, func() { t.Error("two at once") }); err != nil {
				t.Error(err)
			}
			if err := Enqueue(state, "b", d); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil || calls != 2 {
		t.Errorf("%v, %d calls", err, calls)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"7": 7 * time.Second, "Sun, 29 Nov 2026 12:00:30 GMT": 30 * time.Second, "": 0, "-1": 0, "soon": 0, "99999999": maxAfter, "Sun, 29 Nov 2026 11:00:30 GMT": 0,
	} {
		if got := retryAfter(v, now); got != want {
			t.Errorf("%q: %v, want %v", v, got, want)
		}
	}
}

func TestHeaders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "h")
	for text, want := range map[string]string{
		"# c\n\nAuthorization: Bearer x:y\nX-Scope: a\n": "map[Authorization:Bearer x:y X-Scope:a]", "no colon secret": "!line 1", "a b: c": "!line 1", "a: b\x01": "!line 1",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := headers.Read(file)
		if bad, ok := strings.CutPrefix(want, "!"); ok {
			if err == nil || !strings.Contains(err.Error(), bad) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: %v", text, err)
			}
		} else if fmt.Sprint(h) != want {
			t.Errorf("%q: %v %v", text, h, err)
		}
	}
	state, rcv := t.TempDir(), newReceiver()
	url := rcv.serve(t)
	if err := os.WriteFile(file, []byte("Authorization: Bearer key\nContent-Type: text/plain\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRecord(t, state, "a", url)
	if err := Enqueue(state, "a", Destination{Endpoint: url, Headers: file}); err != nil {
		t.Fatal(err)
	}
	end(t, r)
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	newSender(state, Destination{Endpoint: url, Headers: file}, quick).run(ctx)
	rcv.complete(t, "a", 2, nil)
	if rcv.header.Get("Authorization") != "Bearer key" {
		t.Errorf("%v", rcv.header)
	}
}

// TestTail: a record without a new line is not over while it is written.
func TestTail(t *testing.T) {
	state := t.TempDir()
	r := newRecord(t, state, "a", "x")
	tail, err := event.OpenTail(filepath.Join(state, "records", "a", "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	read := func() (kinds string) {
		for {
			e, damaged, ok, err := tail.Next()
			if err != nil || damaged > 0 {
				t.Fatal(damaged, err)
			}
			if !ok {
				return kinds
			}
			kinds += string(e.Kind) + " "
		}
	}
	if got := read(); got != "start " {
		t.Error(got)
	}
	if ended, gone := tail.Over(); ended || gone {
		t.Error("it is over while it is written")
	}
	program(t, r, 5, 1, 0)
	if got := read(); got != "exec exit " {
		t.Error(got)
	}
	end(t, r)
	if got := read(); got != "end " {
		t.Error(got)
	}
	if ended, gone := tail.Over(); !ended || !gone {
		t.Error("it is not over at its end")
	}
}
