package approval

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/belljar-dev/belljar"
)

// A log remembers what it was told, and grants all but hosts that say no.
type log struct {
	mu    sync.Mutex
	notes []Note
	given []Subject
}

func (l *log) tell(n Note) {
	l.mu.Lock()
	l.notes = append(l.notes, n)
	l.mu.Unlock()
}

func (l *log) grant(s Question, _ Scope) error {
	if s.Host == "ceiling.example" {
		return errors.New("the ceiling says no")
	}
	l.mu.Lock()
	l.given = append(l.given, s.Subject)
	l.mu.Unlock()
	return nil
}

func newQueue() (*Queue, *log) {
	l := &log{}
	return New(Options{Tell: l.tell, Grant: l.grant}), l
}

func post(host string) Subject { return Subject{Host: host, Port: 443, Method: "POST", Path: "/x"} }

type waiter struct {
	id  string
	err error
}

// waits asks in the background; what comes of it arrives on the channel.
func waits(ctx context.Context, q *Queue, s Subject) chan waiter {
	c := make(chan waiter, 1)
	go func() {
		id, err := q.Ask(ctx, s, Asker{})
		c <- waiter{id, err}
	}()
	synctest.Wait()
	return c
}

// TestOnce: an answer lets exactly one of equal requests pass; the others wait under
// another ID, and an old ID answers nothing.
func TestOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, l := newQueue()
		defer q.Close()
		a, b := waits(t.Context(), q, post("a.example")), waits(t.Context(), q, post("a.example"))
		open := q.List()
		if len(open) != 1 || open[0].Waiting != 2 || open[0].ID != "1" {
			t.Fatalf("not joined: %+v", open)
		}
		if _, scope, err := q.Answer("1", Answer{Allow: true, By: "me"}); err != nil || scope != Once {
			t.Fatal(scope, err)
		}
		if w := <-a; w.err != nil {
			t.Errorf("the first: %v", w.err)
		}
		if len(b) != 0 {
			t.Error("one answer let two pass")
		}
		if _, _, err := q.Answer("1", Answer{Allow: true}); !errors.Is(err, ErrNone) {
			t.Errorf("an answered ID answers again: %v", err)
		}
		if open := q.List(); len(open) != 1 || open[0].ID != "2" || open[0].Waiting != 1 {
			t.Errorf("the second: %+v", open)
		}
		if _, _, err := q.Answer("2", Answer{}); err != nil {
			t.Error(err)
		}
		if w := <-b; !errors.Is(w.err, ErrDenied) {
			t.Errorf("the second: %v", w.err)
		}
		if _, err := q.Ask(t.Context(), post("a.example"), Asker{}); !errors.Is(err, ErrDenied) {
			t.Errorf("what was denied is asked again: %v", err)
		}
		if _, state, ok := q.Look("1"); !ok || state != Allowed {
			t.Errorf("question 1 is %v", state)
		}
		want := []State{Open, Allowed, Open, Denied}
		for i, n := range l.notes {
			if n.State != want[i] {
				t.Errorf("note %d: %v, want %v", i, n.State, want[i])
			}
		}
		if l.notes[1].By != "me" || len(l.notes) != len(want) {
			t.Errorf("notes: %+v", l.notes)
		}
	})
}

// TestParked: what waited too long goes on; the question stays, and its answer is there
// for the next equal request, once and not for ever.
func TestParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, l := newQueue()
		defer q.Close()
		begin := time.Now()
		if id, err := q.Ask(t.Context(), post("a.example"), Asker{}); !errors.Is(err, ErrParked) || id != "1" || time.Since(begin) != Wait {
			t.Fatalf("%q %v after %v", id, err, time.Since(begin))
		}
		if open := q.List(); len(open) != 1 || open[0].Waiting != 0 {
			t.Fatalf("%+v", open)
		}
		if _, _, err := q.Answer("1", Answer{Allow: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := q.Ask(t.Context(), post("a.example"), Asker{}); err != nil {
			t.Errorf("the answer was lost: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		w := waits(ctx, q, post("a.example"))
		cancel()
		if got := <-w; !errors.Is(got.err, context.Canceled) {
			t.Errorf("the third: %v", got.err)
		}
		if _, _, err := q.Answer("2", Answer{Allow: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(Kept + time.Second)
		if id, err := q.Ask(t.Context(), post("a.example"), Asker{}); !errors.Is(err, ErrParked) || id != "3" {
			t.Errorf("an answer was kept for ever: %q %v", id, err)
		}
		time.Sleep(Life)
		if len(q.List()) != 0 {
			t.Error("a question lives for ever")
		}
		if _, state, _ := q.Look("3"); state != Expired || l.notes[len(l.notes)-1].State != Expired {
			t.Errorf("question 3: %v", state)
		}
	})
}

// TestSandboxScope: an answer for the sandbox lets all equal ones pass and gives the rule
// first; where the rule cannot be, the question stays.
func TestSandboxScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, l := newQueue()
		defer q.Close()
		a, b := waits(t.Context(), q, post("a.example")), waits(t.Context(), q, post("a.example"))
		if _, scope, err := q.Answer("1", Answer{Allow: true, Scope: Sandbox}); err != nil || scope != Sandbox {
			t.Fatal(err)
		}
		if x, y := <-a, <-b; x.err != nil || y.err != nil || len(l.given) != 1 || l.given[0] != post("a.example") {
			t.Errorf("%v %v %v", x, y, l.given)
		}
		c := waits(t.Context(), q, post("ceiling.example"))
		if _, _, err := q.Answer("2", Answer{Allow: true, Scope: Always}); err == nil || len(c) != 0 || len(q.List()) != 1 {
			t.Errorf("granted what cannot be: %v", err)
		}
		q.Cover(func(s Subject, _ Asker) bool { return s.Host == "ceiling.example" }, "me")
		if w := <-c; w.err != nil {
			t.Error(w.err)
		}
	})
}

// TestProposals: a proposal waits for nobody, holds for the sandbox, and once is no
// answer to it.
func TestProposals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, l := newQueue()
		defer q.Close()
		p, err := q.Propose(post("a.example"), "I need it")
		again, err2 := q.Propose(post("a.example"), "no, really")
		if err != nil || err2 != nil || p.ID != again.ID || again.Note != "I need it" {
			t.Fatalf("%+v %+v %v %v", p, again, err, err2)
		}
		if _, _, err := q.Answer(p.ID, Answer{Allow: true, Scope: Once}); err == nil {
			t.Error("a proposal was allowed once")
		}
		if _, scope, err := q.Answer(p.ID, Answer{Allow: true}); err != nil || scope != Sandbox || len(l.given) != 1 {
			t.Errorf("%v %v %v", scope, err, l.given)
		}
		d, _ := q.Propose(post("b.example"), "")
		heard := make(chan State, 1)
		go func() {
			_, s, _ := q.Await(t.Context(), d.ID)
			heard <- s
		}()
		synctest.Wait()
		if len(heard) != 0 {
			t.Error("it did not wait")
		}
		defer func() {
			if s := <-heard; s != Denied {
				t.Errorf("heard of %v", s)
			}
		}()
		if _, _, err := q.Answer(d.ID, Answer{}); err != nil {
			t.Fatal(err)
		}
		if _, err := q.Propose(post("b.example"), ""); !errors.Is(err, ErrDenied) {
			t.Errorf("proposed again: %v", err)
		}
	})
}

// TestFlood: neither what is open nor what waits grows without bound, and one host or the
// proposals leave room for others.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, l := newQueue()
		for i := range 10_000 {
			s := post("a.example")
			s.Path = fmt.Sprintf("/%d", i)
			if _, err := q.Propose(s, ""); (err == nil) != (i < MaxHost) {
				t.Fatalf("%d about one host: %v", i, err)
			}
			if _, err := q.Propose(post(fmt.Sprintf("h%d.example", i)), ""); err != nil && i < MaxKind-MaxHost {
				t.Fatalf("%d: %v", i, err)
			}
		}
		if n := len(q.List()); n != MaxKind {
			t.Errorf("%d are open", n)
		}
		for range 10 * MaxLooking { // they keep nobody from asking
			go func() { _, _, _ = q.Await(t.Context(), "1") }()
		}
		var ended atomic.Int64
		for i := range 1000 {
			go func() {
				defer ended.Add(1)
				_, _ = q.Ask(t.Context(), post(fmt.Sprintf("ask%d.example", i%4)), Asker{})
			}()
		}
		synctest.Wait()
		waiting := 0
		for _, x := range q.List() {
			waiting += x.Waiting
		}
		if waiting != MaxWaiting || ended.Load() != 1000-MaxWaiting {
			t.Errorf("%d wait, %d went on", waiting, ended.Load())
		}
		if n := len(l.notes); n > 2*MaxOpen {
			t.Errorf("%d notes", n)
		}
		_ = q.Close()
		synctest.Wait()
		if ended.Load() != 1000 || len(q.List()) != 0 || q.waits != 0 {
			t.Errorf("after the end %d went on, %d wait", ended.Load(), q.waits)
		}
		for i := range 10 * maxRemembered {
			q.denied.put(key{Subject: post(fmt.Sprint(i))}, remembered{})
		}
		if len(q.denied.m) != maxRemembered || len(q.denied.order) != maxRemembered {
			t.Errorf("%d are remembered", len(q.denied.m))
		}
		if _, err := q.Ask(t.Context(), post("late.example"), Asker{}); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if _, _, err := q.Answer("1", Answer{Allow: true}); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

// TestQueries: once is for the query that was shown, a denial for every one.
func TestQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, l := newQueue()
		defer q.Close()
		with := func(query string) Subject {
			s := post("a.example")
			s.Query = ShortQuery(query)
			return s
		}
		got := make(chan error, 2)
		go func() { _, err := q.Ask(t.Context(), with("a=1"), Asker{}); got <- err }()
		synctest.Wait()
		go func() { _, err := q.Ask(t.Context(), with("a=2"), Asker{}); got <- err }()
		synctest.Wait()
		if _, _, err := q.Answer("1", Answer{Allow: true}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if open := q.List(); len(got) != 1 || <-got != nil || len(open) != 1 || open[0].Query != "a=2" {
			t.Fatalf("open: %+v", open)
		}
		if _, _, err := q.Answer("2", Answer{}); err != nil || !errors.Is(<-got, ErrDenied) {
			t.Fatal(err)
		}
		if _, err := q.Ask(t.Context(), with("a=3"), Asker{}); !errors.Is(err, ErrDenied) {
			t.Errorf("another query of what was denied: %v", err)
		}
		if len(l.notes) != 4 {
			t.Errorf("%d notes", len(l.notes))
		}
		long := strings.Repeat("x", 10_000)
		if a, b := ShortQuery(long+"1"), ShortQuery(long+"2"); a == b || len(a) > 400 {
			t.Errorf("long queries are %q and %q", a, b)
		}
	})
}

// TestLeftQuestions: what nothing waits for any more makes room for what does.
func TestLeftQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, _ := newQueue()
		defer q.Close()
		for i := range MaxKind {
			go func() { _, _ = q.Ask(t.Context(), post(fmt.Sprintf("h%d-%d.example", i/MaxHost, i)), Asker{}) }()
			time.Sleep(time.Second) // one is the oldest
		}
		if _, err := q.Ask(t.Context(), post("real.example"), Asker{}); !errors.Is(err, ErrFull) {
			t.Fatalf("beside %d that wait: %v", MaxKind, err)
		}
		time.Sleep(Wait)
		synctest.Wait()
		go func() { _, _ = q.Ask(t.Context(), post("real.example"), Asker{}) }()
		synctest.Wait()
		open := q.List()
		if n := len(open); n != MaxKind || open[n-1].Host != "real.example" || open[n-1].Waiting != 1 || open[0].ID != "2" {
			t.Errorf("%d are open: the first %+v, the last %+v", n, open[0], open[n-1])
		}
	})
}

// TestRace: answers, requests and the end at the same time; who is let pass was allowed.
func TestRace(t *testing.T) {
	var passed, allowed atomic.Int64
	q := New(Options{
		Tell: func(n Note) {
			if n.State == Allowed && n.Scope == Once {
				allowed.Add(1)
			}
		},
		Grant: func(Question, Scope) error { return nil },
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for range 50 {
				own, stop := context.WithCancel(ctx)
				if i%3 == 0 {
					stop()
				}
				if _, err := q.Ask(own, post(fmt.Sprint(i%4)), Asker{}); err == nil {
					passed.Add(1)
				}
				stop()
			}
		})
	}
	var answers sync.WaitGroup
	for range 4 {
		answers.Go(func() {
			for ctx.Err() == nil {
				for _, x := range q.List() {
					_, _, _ = q.Answer(x.ID, Answer{Allow: true, Scope: Once})
				}
			}
		})
	}
	wg.Wait()
	cancel()
	answers.Wait()
	_ = q.Close()
	if passed.Load() == 0 || passed.Load() > allowed.Load() {
		t.Errorf("%d passed, %d were allowed", passed.Load(), allowed.Load())
	}
}

// TestCommands: questions about commands are no questions about one host, and those of
// programs that died give way at once.
func TestCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, _ := newQueue()
		defer q.Close()
		ctx, cancel := context.WithCancel(t.Context())
		for i := range MaxKind {
			waits(ctx, q, Subject{Command: fmt.Sprint("dead ", i)})
		}
		if n := len(q.List()); n != MaxKind {
			t.Errorf("%d questions wait", n)
		}
		if w := <-waits(ctx, q, Subject{Command: "one more"}); !errors.Is(w.err, ErrFull) {
			t.Errorf("beyond the bound: %v", w.err)
		}
		cancel()
		synctest.Wait()
		alive := waits(t.Context(), q, Subject{Command: "alive"})
		l := q.List()
		if last := l[len(l)-1]; len(l) != MaxKind || last.Command != "alive" {
			t.Errorf("%+v", l)
		} else if _, _, err := q.Answer(last.ID, Answer{Allow: true}); err != nil {
			t.Error(err)
		}
		if w := <-alive; w.err != nil {
			t.Error(w.err)
		}
	})
}

// TestAskers: what two rules ask about one subject are two questions. No answer to one is
// one to the other: not for once, when nobody waits any more, not for longer, not a denial.
func TestAskers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, l := newQueue()
		defer q.Close()
		rules := make([]belljar.NetRule, 2) // with one origin: two rules may be on one line
		a, b := AskedBy(&rules[0]), AskedBy(&rules[1])
		ask := func(ctx context.Context, by Asker) chan error {
			got := make(chan error, 1)
			go func() { _, err := q.Ask(ctx, post("a.example"), by); got <- err }()
			synctest.Wait()
			return got
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := ask(ctx, a)
		cancel()
		<-gone
		second := ask(t.Context(), b)
		open := q.List()
		if len(open) != 2 || open[0].Asker != a || open[1].Asker != b {
			t.Fatalf("joined: %+v", open)
		}
		answer := func(id string, x Answer) {
			if _, _, err := q.Answer(id, x); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		answer("1", Answer{Allow: true})
		if len(second) != 0 {
			t.Error("an answer for once was another rule's")
		}
		if err := <-ask(t.Context(), a); err != nil {
			t.Errorf("what was answered: %v", err)
		}
		third := ask(t.Context(), a)
		answer("3", Answer{})
		if err := <-third; !errors.Is(err, ErrDenied) || len(second) != 0 {
			t.Errorf("denied: %v, and the other rule's: %d", err, len(second))
		}
		answer("2", Answer{Allow: true, Scope: Sandbox})
		if err := <-second; err != nil || len(l.given) != 1 {
			t.Errorf("%v %v", err, l.given)
		}
		if err := <-ask(t.Context(), a); !errors.Is(err, ErrDenied) {
			t.Errorf("what was denied, after another rule's was allowed: %v", err)
		}
	})
}
