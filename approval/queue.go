package approval

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Options say what a [Queue] does besides waiting. Both functions are called one at a
// time, in the order of what they tell, while the queue is held: they must not call it.
type Options struct {
	// Tell is told of every question and of what became of it, before anybody is let
	// pass.
	Tell func(Note)
	// Grant makes an answer hold for the sandbox. With an error the question stays open.
	Grant func(Question, Scope) error
}

// A key is what makes a question another one.
type key struct {
	Subject
	by Asker
}

// anyQuery is the key of what is allowed for longer than once, or denied.
func (k key) anyQuery() key {
	k.Subject = k.Subject.anyQuery()
	return k
}

func (q *Question) key() key { return key{q.Subject, q.Asker} }

// A Queue holds the questions of one sandbox. Its methods are safe for concurrent use.
type Queue struct {
	o Options

	mu      sync.Mutex
	closed  bool
	last    int // the ID given last
	open    map[key]*question
	byID    map[string]*question
	waits   int // of all questions together
	looking int // who waits to hear of a question without being let pass by it

	// What became of questions, by subject and, for those who ask about a proposal, by
	// ID: the newest maxRemembered of each.
	denied  memory[key]
	credits memory[key]
	past    memory[string]
}

type question struct {
	Question
	waiters []chan error // each has room for one
	expire  *time.Timer
	done    chan struct{} // closed when it is no longer open
}

// New makes a queue.
func New(o Options) *Queue {
	return &Queue{o: o, open: map[key]*question{}, byID: map[string]*question{}}
}

// Ask waits until s is answered: nil when it may pass, [ErrDenied] when not. It gives
// up after [Wait] with [ErrParked], at the end of ctx with its error, at the end of the
// queue with [ErrClosed], and at once with [ErrFull] where no more may wait. The
// question's ID is returned where there is one.
func (q *Queue) Ask(ctx context.Context, s Subject, by Asker) (id string, err error) {
	k := key{s, by}
	q.mu.Lock()
	if done, err := q.settled(k); done {
		q.mu.Unlock()
		return "", err
	}
	x, err := q.find(k, Question{Rule: by.Origin})
	if err != nil {
		q.mu.Unlock()
		return "", err
	}
	id = x.ID
	if q.waits >= MaxWaiting {
		q.mu.Unlock()
		return id, fmt.Errorf("%w: more than %d requests wait", ErrParked, MaxWaiting)
	}
	answer := make(chan error, 1)
	x.waiters = append(x.waiters, answer)
	q.waits++
	q.mu.Unlock()

	timer := time.NewTimer(Wait)
	defer timer.Stop()
	select {
	case err := <-answer:
		return id, err
	case <-timer.C:
		err = ErrParked
	case <-ctx.Done():
		err = ctx.Err()
	}
	return id, q.leave(k, answer, err)
}

// settled says what an earlier answer says of k; q.mu is held.
func (q *Queue) settled(k key) (bool, error) {
	if q.closed {
		return true, ErrClosed
	}
	if m, ok := q.credits.get(k); ok {
		q.credits.forget(k)
		if time.Now().Before(m.until) {
			return true, nil
		}
	}
	if _, ok := q.denied.get(k.anyQuery()); ok {
		return true, ErrDenied
	}
	return false, nil
}

// leave takes a waiter out. An answer that came meanwhile holds.
func (q *Queue) leave(k key, answer chan error, err error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case got := <-answer:
		return got
	default:
	}
	if x := q.open[k]; x != nil {
		if i := slices.Index(x.waiters, answer); i >= 0 {
			x.waiters = slices.Delete(x.waiters, i, i+1)
			q.waits--
		}
	}
	return err
}

// Propose asks for a rule that allows s, and returns at once with the question, or with
// the one that is open about s already. [ErrDenied]: it was denied before.
func (q *Queue) Propose(s Subject, note string) (Question, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return Question{}, ErrClosed
	}
	k := key{Subject: s}
	if _, ok := q.denied.get(k.anyQuery()); ok {
		return Question{}, ErrDenied
	}
	x, err := q.find(k, Question{Proposed: true, Note: note})
	if err != nil {
		return Question{}, err
	}
	return x.shown(), nil
}

// find is the open question about k, or a new one that is made from with; q.mu is held.
func (q *Queue) find(k key, with Question) (*question, error) {
	if x := q.open[k]; x != nil {
		return x, nil
	}
	kind, host := 0, 0
	var left, leftHere *question // the oldest ones that nothing waits for
	for _, x := range q.open {
		if x.Proposed == with.Proposed {
			kind++
			left = x.olderLeft(left)
		}
		if x.Host == k.Host {
			host++
			leftHere = x.olderLeft(leftHere)
		}
	}
	var err error
	switch {
	case len(q.open) >= MaxOpen, kind >= MaxKind:
		err = ErrFull
	case k.Host != "" && host >= MaxHost:
		left, err = leftHere, fmt.Errorf("%w about this host", ErrFull)
	}
	if err != nil {
		if left == nil {
			return nil, err
		}
		q.remove(left, Note{State: Expired})
	}
	with.Subject, with.Asker = k.Subject, k.by
	return q.add(with, nil), nil
}

// olderLeft is x where nothing has waited for it for [Wait] (of a command: waits) and it is older than y. A
// proposal is for somebody to read at leisure.
func (x *question) olderLeft(y *question) *question {
	fresh := time.Since(x.Asked) < Wait && x.Command == "" // who asked about a command and left has died
	if x.Proposed || len(x.waiters) > 0 || fresh || y != nil && !x.Asked.Before(y.Asked) {
		return y
	}
	return x
}

// add opens a question; q.mu is held.
func (q *Queue) add(with Question, waiters []chan error) *question {
	q.last++
	now := time.Now()
	with.ID, with.Asked, with.Until = strconv.Itoa(q.last), now, now.Add(Life)
	x := &question{Question: with, waiters: waiters, done: make(chan struct{})}
	q.open[x.key()], q.byID[x.ID] = x, x
	x.expire = time.AfterFunc(Life, func() { q.expired(x) })
	q.o.Tell(Note{Question: x.shown(), State: Open})
	return x
}

func (x *question) shown() Question {
	s := x.Question
	s.Waiting = len(x.waiters)
	return s
}

// remove takes x out and notes what became of it; q.mu is held.
func (q *Queue) remove(x *question, n Note) {
	x.expire.Stop()
	close(x.done)
	delete(q.open, x.key())
	delete(q.byID, x.ID)
	n.Question = x.shown()
	q.past.put(x.ID, remembered{state: n.State, question: n.Question})
	q.o.Tell(n)
}

// release answers waiters; q.mu is held.
func (q *Queue) release(waiters []chan error, err error) {
	for _, w := range waiters {
		w <- err
	}
	q.waits -= len(waiters)
}

func (q *Queue) expired(x *question) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.byID[x.ID] != x {
		return // it was answered
	}
	q.remove(x, Note{State: Expired})
	q.release(x.waiters, ErrParked)
}

// List lists the open questions, the oldest first.
func (q *Queue) List() []Question {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := make([]Question, 0, len(q.byID))
	for _, x := range q.byID {
		l = append(l, x.shown())
	}
	slices.SortFunc(l, func(a, b Question) int { return cmp.Or(cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID)) })
	return l
}

// Look says what has become of the question id; false where nobody remembers it.
func (q *Queue) Look(id string) (Question, State, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if x := q.byID[id]; x != nil {
		return x.shown(), Open, true
	}
	m, ok := q.past.get(id)
	return m.question, m.state, ok
}

// Await is Look once the question is no longer open, or when ctx ends or too many wait.
func (q *Queue) Await(ctx context.Context, id string) (Question, State, bool) {
	q.mu.Lock()
	x := q.byID[id]
	if x == nil || q.looking >= MaxLooking {
		q.mu.Unlock()
		return q.Look(id)
	}
	q.looking++
	q.mu.Unlock()
	select {
	case <-x.done:
	case <-ctx.Done():
	}
	q.mu.Lock()
	q.looking--
	q.mu.Unlock()
	return q.Look(id)
}

// Answer answers the question id and returns it with the scope that the answer has.
// [ErrNone]: it is not open (any more). Where the answer cannot hold for the sandbox the
// question stays open and the error says why.
func (q *Queue) Answer(id string, a Answer) (Question, Scope, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	x := q.byID[id]
	switch {
	case q.closed:
		return Question{}, "", ErrClosed
	case x == nil:
		return Question{}, "", ErrNone
	case !a.Allow:
		was := x.shown()
		q.denied.put(x.key().anyQuery(), remembered{})
		q.remove(x, Note{State: Denied, By: a.By})
		q.release(x.waiters, ErrDenied)
		return was, "", nil
	}
	scope := a.Scope
	if scope == "" {
		scope = Once
		if x.Proposed {
			scope = Sandbox
		}
	}
	was := x.shown()
	if scope == Once {
		if x.Proposed {
			return was, scope, fmt.Errorf("a proposal is for a rule, which cannot hold for one request: allow it for the sandbox or for good")
		}
		q.once(x, a.By)
		return was, scope, nil
	}
	if err := q.o.Grant(was, scope); err != nil {
		return was, scope, err
	}
	q.remove(x, Note{State: Allowed, Scope: scope, By: a.By})
	q.release(x.waiters, nil)
	return was, scope, nil
}

// once lets the first that waits pass, or the next equal one. For others that wait it is
// asked anew; q.mu is held.
func (q *Queue) once(x *question, by string) {
	q.remove(x, Note{State: Allowed, Scope: Once, By: by})
	if len(x.waiters) == 0 {
		q.credits.put(x.key(), remembered{until: time.Now().Add(Kept)})
		return
	}
	q.release(x.waiters[:1], nil)
	if rest := x.waiters[1:]; len(rest) > 0 {
		q.add(Question{Subject: x.Subject, Rule: x.Rule, Asker: x.Asker}, slices.Clone(rest))
	}
}

// Cover answers the open questions about what is allowed now, for the sandbox, and
// forgets that it was denied.
func (q *Queue) Cover(allowed func(Subject, Asker) bool, by string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for k, x := range q.open {
		if allowed(k.Subject, k.by) {
			q.remove(x, Note{State: Allowed, Scope: Sandbox, By: by})
			q.release(x.waiters, nil)
		}
	}
	for k := range q.denied.m {
		if allowed(k.Subject, k.by) {
			q.denied.forget(k)
		}
	}
}

// Close ends every question: nobody is let pass any more. It is idempotent.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, x := range q.open {
		q.remove(x, Note{State: Ended})
		q.release(x.waiters, ErrClosed)
	}
	return nil
}

// A remembered is what is kept of an answered question.
type remembered struct {
	until    time.Time
	state    State
	question Question
}

// A memory keeps the newest maxRemembered. The zero memory is empty.
type memory[K comparable] struct {
	m     map[K]remembered
	order []K // the oldest first; each once
}

func (m *memory[K]) get(k K) (remembered, bool) {
	r, ok := m.m[k]
	return r, ok
}

func (m *memory[K]) put(k K, r remembered) {
	if m.m == nil {
		m.m = map[K]remembered{}
	}
	m.forget(k)
	if len(m.order) >= maxRemembered {
		m.forget(m.order[0])
	}
	m.m[k] = r
	m.order = append(m.order, k)
}

func (m *memory[K]) forget(k K) {
	if _, ok := m.m[k]; ok {
		delete(m.m, k)
		m.order = slices.DeleteFunc(m.order, func(o K) bool { return o == k })
	}
}
