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
	burst = 5
	gain  = 5 * time.Minute
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

// one is one login file. Who holds busy looks at it.
type one struct {
	busy   chan struct{}
	kind   *login.Kind
	file   string
	info   fs.FileInfo
	tokens login.Tokens

	tried   time.Time // an early refresh
	bucket  int
	gained  time.Time
	over    string // the Hash of a token that the provider gives no next one for
	overErr error
}

func (l *logins) one(k *login.Kind, file string) (*one, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.all[file]
	if o == nil {
		if len(l.all) >= maxFiles {
			return nil, errors.New("too many login files")
		}
		o = &one{busy: make(chan struct{}, 1), kind: k, file: file, bucket: l.burst, gained: l.now()}
		l.all[file] = o
	}
	if o.kind.Name != k.Name {
		return nil, errors.New("that is the login of another agent")
	}
	return o, nil
}

// token is the access token that a request may carry now; stale names one that the
// provider did not accept.
func (l *logins) token(ctx context.Context, k *login.Kind, file, stale string) (login.Tokens, error) {
	o, err := l.one(k, file)
	if err != nil {
		return login.Tokens{}, err
	}
	select {
	case o.busy <- struct{}{}:
		defer func() { <-o.busy }()
	case <-ctx.Done():
		return login.Tokens{}, ctx.Err()
	}
	if err := o.read(); err != nil {
		return login.Tokens{}, err
	}
	now := l.now()
	hash := Hash(o.tokens.Access)
	refused := stale == hash
	expired := !o.tokens.Expires.IsZero() && !now.Before(o.tokens.Expires)
	soon := !o.tokens.Expires.IsZero() && !now.Add(margin).Before(o.tokens.Expires)
	switch {
	case o.over == hash:
		if expired || refused {
			return login.Tokens{}, o.overErr
		}
		return o.tokens, nil
	case refused && !expired && !o.may(now, l.burst):
		return login.Tokens{}, fmt.Errorf("the provider accepts no token of the login: it was given new ones several times")
	case refused || expired:
		if err := l.replace(ctx, o, hash); err != nil {
			return login.Tokens{}, err
		}
	case soon && now.Sub(o.tried) >= early: // nobody waits for it yet
		o.tried = now
		go l.refreshEarly(context.WithoutCancel(ctx), o, job{Login: k.Name, File: file, Seen: hash})
	}
	return o.tokens, nil
}

// replace has the token of that hash replaced. Only who holds busy calls it.
func (l *logins) replace(ctx context.Context, o *one, hash string) error {
	err := l.refresh(context.WithoutCancel(ctx), job{Login: o.kind.Name, File: o.file, Seen: hash, Last: true})
	if errors.Is(err, login.ErrEnded) {
		return o.end(hash)
	}
	if err == nil {
		err = o.read()
	}
	if err == nil && Hash(o.tokens.Access) == hash && !o.tokens.Expires.IsZero() && !l.now().Before(o.tokens.Expires) {
		err = errors.New("the login file still holds the token that has expired")
	}
	return err
}

// refreshEarly replaces a token that is still good; what comes of it is found in the file.
func (l *logins) refreshEarly(ctx context.Context, o *one, j job) {
	if err := l.refresh(ctx, j); errors.Is(err, login.ErrEnded) {
		o.busy <- struct{}{}
		_ = o.end(j.Seen)
		<-o.busy
	}
}

// end notes that there is no next token.
func (o *one) end(hash string) error {
	o.over, o.overErr = hash, fmt.Errorf("the login in %s has ended; log in again outside: %s", o.file, o.kind.Command)
	return o.overErr
}

// may takes one out of the bucket.
func (o *one) may(now time.Time, burst int) bool {
	if n := int(now.Sub(o.gained) / gain); n > 0 {
		o.bucket, o.gained = min(o.bucket+n, burst), now
	}
	if o.bucket == 0 {
		return false
	}
	o.bucket--
	return true
}

// read looks at the file, which the host's own program may have changed.
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
