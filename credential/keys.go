package credential

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/ablate"
)

const (
	// minFound is the length from which a value is searched for in answers. A shorter
	// one would be met by chance, and tell by being replaced what it is.
	minFound = 8
	// formerAge is how long a former value of a credential is still searched for at least,
	// formerMost how many are: an agent can have a command asked for another one once a
	// minute, and the old one may be good for long.
	formerAge  = time.Hour
	formerMost = 64
)

// Keys holds the values of a sandbox's credentials, in the memory of the supervisor
// only. It may be used by several goroutines at once. Nothing that it returns, prints
// or writes as an error contains a value.
type Keys struct {
	entries []*entry
	marks   *finder               // stand-ins; nil for none
	abc     alphabet              // of values before one is known
	values  atomic.Pointer[known] // nil once closed
	mu      sync.Mutex            // makes values
	closed  bool
}

// What is known are the values that are or were in use.
type known struct {
	*finder // nil for none
	abc     alphabet
}

// An entry is one credential with its source.
type entry struct {
	plan  belljar.Credential
	place string // its header, as servers read it: see plainName
	// busy holds one token: who has it looks at the source.
	busy chan struct{}
	src  source

	mu       sync.Mutex // of what follows
	ready    secret     // that is put in: value, once answers are searched for it
	value    secret
	former   []former // the oldest first
	why      string   // there is no value; for the person outside only
	rejected atomic.Bool
	asked    atomic.Bool // for a value that it did not have
}

// A former value of a credential was in use until another one took its place.
type former struct {
	secret
	until time.Time
}

// Make reads the values of creds and gives each credential its stand-in; what it
// returns is creds with StandIn set. A StandIn that is set already is kept (a sandbox
// that is started again).
//
// A source without a value (no such variable or file, a command that fails) is no
// error: see [Keys.Missing]. A source that must not be used is: a file that others may
// write, something of the project, a value that fits into no header. The error is a
// *belljar.Error that names every such credential.
func Make(ctx context.Context, creds []belljar.Credential, host Host) ([]belljar.Credential, *Keys, error) {
	k := &Keys{}
	now := time.Now()
	errs := make([]error, len(creds))
	var wait sync.WaitGroup
	for i := range creds {
		e := &entry{plan: creds[i], place: plainName(creds[i].Header), busy: make(chan struct{}, 1)}
		e.src = source{from: creds[i].From, form: creds[i].Form, host: func() *Host { return &host }}
		k.entries = append(k.entries, e)
		wait.Go(func() { _, errs[i] = e.look(ctx, now) })
	}
	wait.Wait()
	for i, err := range errs {
		if !errors.Is(err, errUnfit) {
			err = nil
		}
		if errs[i] = err; err != nil {
			errs[i] = fmt.Errorf("credential %s: %s", creds[i].Name, k.entries[i].why)
		}
	}
	for i, c := range creds {
		k.entries[i].value.with(func(v []byte) {
			if c.StandIn != "" && (len(c.StandIn) < minRandom || len(v) > 0 && !apart([]byte(c.StandIn), v)) {
				errs[i] = fmt.Errorf("credential %s: the stand-in of the plan is not fit for its value", c.Name)
			}
		})
	}
	if err := errors.Join(errs...); err != nil {
		_ = k.Close()
		return nil, nil, &belljar.Error{Op: "read credentials", Kind: belljar.KindRefused, Err: err,
			Hint: "a credential comes from a place that only you can write to"}
	}
	made := slices.Clone(creds)
	var texts []finderText
	for i, e := range k.entries {
		if made[i].StandIn == "" {
			e.value.with(func(v []byte) { made[i].StandIn = standInFor(made[i].Name, v, made[i].Form == belljar.FormBasic) })
			if ablate.Off(ablate.StandIns) {
				e.value.with(func(v []byte) { made[i].StandIn = string(v) })
			}
		}
		e.plan = made[i]
		texts = append(texts, finderText{id: i, text: []byte(made[i].StandIn)})
	}
	k.abc = alphabetOf(made, nil)
	k.marks = newFinder(texts, standInAlphabet(made))
	k.renew()
	for _, e := range k.entries {
		e.tidy(k.Clean)
		e.use()
	}
	return made, k, nil
}

// look reads the source and takes over what it found. Only who holds busy calls it,
// and Make.
func (e *entry) look(ctx context.Context, now time.Time) (changed bool, err error) {
	changed, err = e.src.look(ctx, now)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.why = e.src.why
	if !e.value.is(e.src.value) {
		if e.value.region != nil {
			e.former = append(e.former, former{e.value, now})
		}
		for len(e.former) > formerMost || len(e.former) > 0 && now.Sub(e.former[0].until) > formerAge {
			e.former[0].wipe()
			e.former = e.former[1:]
		}
		e.value = e.src.value
	}
	return changed, err
}

// use puts in from now on what look found.
func (e *entry) use() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ready = e.value
}

// tidy takes the values that are known out of what the person outside is told.
func (e *entry) tidy(clean func(string) string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.why = clean(e.why)
}

// current is the value to put in, after a look at the source where one is due; why says
// that there is none. Who comes while another one looks takes the value that is there.
func (k *Keys) current(ctx context.Context, e *entry) (value secret, why string) {
	select {
	case e.busy <- struct{}{}:
	default:
		if value, _ := e.now(); value.len() > 0 {
			return value, ""
		}
		select {
		case e.busy <- struct{}{}:
		case <-ctx.Done():
			return secret{}, "the request was given up while its value was read"
		}
	}
	defer func() { <-e.busy }()
	if e.rejected.Swap(false) {
		e.src.rejected = true
	}
	if now := time.Now(); e.src.due(now) && !k.isClosed() {
		if changed, _ := e.look(ctx, now); changed {
			k.renew()
		}
		e.use()
		e.tidy(k.Clean)
	}
	return e.now()
}

// now is the value without a look at the source.
func (e *entry) now() (value secret, why string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.ready.len() > 0:
		return e.ready, ""
	case e.why == "":
		return secret{}, "the sandbox is being closed"
	}
	return secret{}, e.why
}

func (k *Keys) isClosed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.closed
}

// renew makes the finder of values anew. Nothing else overwrites a value meanwhile.
func (k *Keys) renew() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return
	}
	var texts []finderText
	var values [][]byte
	var plans []belljar.Credential
	for i, e := range k.entries {
		plans = append(plans, e.plan)
		e.mu.Lock() // until the finder has copied the values: they may be overwritten then
		defer e.mu.Unlock()
		for _, s := range append(slices.Clone(e.former), former{secret: e.value}) {
			s.with(func(v []byte) {
				if len(v) >= minFound {
					texts = append(texts, finderText{id: i, text: v, mask: maskFor(e.plan.StandIn, v)})
					values = append(values, v)
				}
			})
		}
	}
	abc := alphabetOf(plans, values)
	k.values.Store(&known{newFinder(texts, abc), abc})
}

// findable says whether an answer may hold a value, now or later.
func (k *Keys) findable() bool {
	if now := k.values.Load(); now == nil || now.finder != nil {
		return true
	}
	return slices.ContainsFunc(k.entries, func(e *entry) bool { return e.src.later() })
}

// A Missing credential has no value yet.
type Missing struct {
	Name string // of the credential
	// Why is one sentence without a period, printable. It may repeat what a command wrote
	// to its standard error, and names files: it is for the person outside, and for
	// nothing that the sandbox or its record sees.
	Why string
	// Later says that the source is looked at again when a request needs it; a
	// variable of the caller cannot appear later.
	Later bool
	Asked bool // a request was refused for the want of it
}

// Missing lists the credentials that have no value now, in their order; after Close those
// that had none then.
func (k *Keys) Missing() []Missing {
	var all []Missing
	for _, e := range k.entries {
		e.mu.Lock()
		if e.value.region == nil {
			all = append(all, Missing{Name: e.plan.Name, Why: e.why, Later: e.src.later(), Asked: e.asked.Load()})
		}
		e.mu.Unlock()
	}
	return all
}

// Clean takes the real values out of a text, such as an error of the connection to an
// upstream.
func (k *Keys) Clean(s string) string {
	if now := k.values.Load(); now != nil {
		return now.clean(s)
	}
	return s
}

// clean is s with the masks written over what is found.
func (f *finder) clean(s string) string {
	if f == nil || len(s) < minFound {
		return s
	}
	b := []byte(s)
	found := f.find(b)
	if len(found) == 0 {
		return s
	}
	for i := range found {
		found[i].write(b)
	}
	return string(b)
}

// Close overwrites the values. Requests judged afterwards are treated as if no source
// had a value. Answers that are still being read are searched until they end; what that
// needs of the values is overwritten when the last of them was collected. Idempotent.
func (k *Keys) Close() error {
	k.mu.Lock()
	k.closed = true
	k.values.Store(nil)
	k.mu.Unlock()
	for _, e := range k.entries {
		e.mu.Lock()
		for _, s := range append(e.former, former{secret: e.value}) {
			s.wipe()
		}
		e.former = nil
		e.mu.Unlock()
	}
	return nil
}
