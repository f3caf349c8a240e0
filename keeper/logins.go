package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/belljar-dev/belljar/credential/login"
	"github.com/belljar-dev/belljar/terminal"
)

const (
	// margin is how long before its end a token is replaced: the host's own program does
	// so five minutes before, and is given the chance.
	margin = 2 * time.Minute
	// early is how often that is tried while the token is still good.
	early = 20 * time.Second
	// A provider that accepts no token of an account's is not asked for ever more of
	// them, whatever comes from inside: refused tokens are replaced as often as a bucket
	// of burst allows, which gains one each gain.
	// The same goes for tokens that have expired when they come. Where nothing was sent,
	// that does not count.
	burst = 5
	gain  = 5 * time.Minute
	// proven is for how long a provider is believed that it accepts a token.
	proven = 20 * time.Second
)

// logins answers for all login files.
type logins struct {
	refresh func(context.Context, job) error
	now     func() time.Time
	burst   int

	mu  sync.Mutex
	all map[string]*one // by file
}

// maxFiles bounds the files that are asked for.
const maxFiles = 64

// one is one login file.
type one struct {
	kind *login.Kind
	file string

	mu       sync.Mutex
	info     fs.FileInfo
	tokens   login.Tokens
	flight   *flight              // under way
	tried    time.Time            // an early refresh
	buckets  [expired + 1]*bucket // by cause: what agents provoke does not use up what an expiry needs
	accepted string               // the Hash of a token that the provider accepts
	asked    time.Time            // about that
	over     string               // the Hash of a token that the provider gives no next one for
	overErr  error
}

// A flight is one token that is being replaced.
type flight struct {
	job
	done chan struct{} // closed when err is there
	err  error
}

func (l *logins) one(k *login.Kind, file string) (*one, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.all[file]
	if o == nil {
		if len(l.all) >= maxFiles {
			return nil, errors.New("too many login files")
		}
		o = &one{kind: k, file: file}
		for c := range o.buckets {
			o.buckets[c] = &bucket{left: l.burst, most: l.burst, gained: l.now()}
		}
		l.all[file] = o
	}
	if o.kind.Name != k.Name {
		return nil, errors.New("that is the login of another agent")
	}
	return o, nil
}

// token is the access token that a request may carry now; stale names one that the
// provider did not accept. Only who has no other token waits for one.
func (l *logins) token(ctx context.Context, k *login.Kind, file, stale string) (login.Tokens, error) {
	o, err := l.one(k, file)
	if err != nil {
		return login.Tokens{}, err
	}
	for landed := (*flight)(nil); ; {
		t, f, err := l.look(ctx, o, stale, landed)
		if f == nil {
			return t, err
		}
		select {
		case <-f.done:
			landed = f
		case <-ctx.Done():
			return login.Tokens{}, ctx.Err()
		}
	}
}

// look is the token of o, or what is to be waited for; landed was waited for.
func (l *logins) look(ctx context.Context, o *one, stale string, landed *flight) (login.Tokens, *flight, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.read(); err != nil {
		return login.Tokens{}, nil, err
	}
	now, hash := l.now(), Hash(o.tokens.Access)
	c := o.needs(now, stale == hash)
	switch {
	case c == soon && o.over != hash && o.flight == nil && now.Sub(o.tried) >= early: // nobody waits for it yet
		o.tried = now
		l.start(ctx, o, job{o.kind.Name, o.file, hash, c})
		return o.tokens, nil, nil
	case c <= soon:
		return o.tokens, nil, nil
	case o.over == hash:
		return login.Tokens{}, nil, o.overErr
	case c == refused && o.accepted == hash && now.Sub(o.asked) < proven:
		return o.tokens, nil, nil
	case landed != nil && landed.Seen == hash && landed.Cause >= c:
		return o.landed(landed, c)
	case o.flight != nil:
		return login.Tokens{}, o.flight, nil
	case !o.buckets[c].take(now):
		return login.Tokens{}, nil, errors.New("the provider accepts no token of the login: it was given new ones several times")
	}
	return login.Tokens{}, l.start(ctx, o, job{o.kind.Name, o.file, hash, c}), nil
}

// needs says why the token is to be replaced.
func (o *one) needs(now time.Time, stale bool) cause {
	end := o.tokens.Expires
	switch {
	case !end.IsZero() && !now.Before(end):
		return expired
	case stale:
		return refused
	case !end.IsZero() && !now.Add(margin).Before(end):
		return soon
	}
	return none
}

// landed is the outcome of f, after which the file holds the same token.
func (o *one) landed(f *flight, c cause) (login.Tokens, *flight, error) {
	switch {
	case f.err != nil:
		return login.Tokens{}, nil, f.err
	case c == expired:
		return login.Tokens{}, nil, errors.New("the login file still holds the token that has expired")
	}
	return o.tokens, nil, nil
}

// start has a token replaced. Only who holds o.mu calls it.
func (l *logins) start(ctx context.Context, o *one, j job) *flight {
	f := &flight{job: j, done: make(chan struct{})}
	o.flight = f
	ctx = context.WithoutCancel(ctx)
	go func() {
		err := l.refresh(ctx, j)
		o.mu.Lock()
		defer o.mu.Unlock()
		defer close(f.done)
		o.flight = nil
		var unsent unsentError
		switch {
		case errors.Is(err, login.ErrEnded):
			o.over, o.overErr = j.Seen, fmt.Errorf("the login in %s has ended; log in again outside: %s", o.file, o.kind.Command)
			err = o.overErr
		case errors.Is(err, errAccepted):
			o.accepted, o.asked = j.Seen, l.now()
			o.buckets[j.Cause].putBack()
			err = nil
		case j.Cause == expired && errors.As(err, &unsent):
			o.buckets[j.Cause].putBack()
		}
		f.err = err
	}()
	return f
}

// A bucket bounds how often something is done.
type bucket struct {
	left, most int
	gained     time.Time
}

// take takes one out.
func (b *bucket) take(now time.Time) bool {
	if n := int(now.Sub(b.gained) / gain); n > 0 {
		b.left, b.gained = min(b.left+n, b.most), now
	}
	if b.left == 0 {
		return false
	}
	b.left--
	return true
}

func (b *bucket) putBack() { b.left = min(b.left+1, b.most) }

// read looks at the file, which the host's own program may have changed. Only who holds
// mu calls it.
func (o *one) read() error {
	if now, err := os.Stat(o.file); err == nil && o.info != nil && os.SameFile(now, o.info) && now.ModTime().Equal(o.info.ModTime()) &&
		now.Size() == o.info.Size() && now.Mode() == o.info.Mode() {
		return nil
	}
	content, info, err := readFile(o.file)
	if err == nil {
		o.tokens, err = o.kind.Read(content)
	}
	if err != nil {
		o.info, o.tokens = nil, login.Tokens{}
		return fmt.Errorf("the login file %s: %w", o.file, err)
	}
	o.info = info
	return nil
}

// answer carries out one request.
func (l *logins) answer(ctx context.Context, line []byte) reply {
	r, k, err := parseRequest(line)
	if err != nil {
		return reply{Error: err.Error()}
	}
	if r.Op == opStandIn {
		content, _, err := readFile(r.File)
		var s login.Stand
		if err == nil {
			s, err = k.StandIn(content, l.now())
		}
		if err != nil {
			return reply{Error: terminal.Escape(err.Error())}
		}
		return reply{Stand: &s}
	}
	t, err := l.token(ctx, k, r.File, r.Stale)
	if err != nil {
		return reply{Error: terminal.Escape(err.Error())}
	}
	return reply{Token: t.Access, Expires: millis(t.Expires)}
}
