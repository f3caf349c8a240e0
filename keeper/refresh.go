package keeper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/credential/login"
)

const (
	askTime   = 30 * time.Second // the provider has to answer
	lockTime  = 20 * time.Second // the locks are waited for
	probeTime = 10 * time.Second // the provider has to say whether it accepts a token
)

// A cause is why a token is replaced; a later one in the list weighs more.
type cause int

const (
	none    cause = iota
	soon          // it expires soon
	refused       // a request with it was answered with 401: an agent can make that happen
	expired       // it is of no use any more
)

// A job is one access token that is to be replaced.
type job struct {
	Login string `json:"login"`
	File  string `json:"file"`
	Seen  string `json:"seen"` // Hash of the token
	Cause cause  `json:"cause"`
}

// A refresher carries out jobs.
type refresher struct {
	state string       // a private folder
	http  *http.Client // to the provider
	url   func(k *login.Kind) string
	probe func(k *login.Kind) string // empty: nothing says whether a token is accepted
	now   func() time.Time
}

// newRefresher asks the providers themselves.
func newRefresher(state string) *refresher {
	return &refresher{
		state: state, now: time.Now,
		url: func(k *login.Kind) string { return "https://" + k.Token.Host + k.Token.Path },
		probe: func(k *login.Kind) string {
			if k.Probe.Host == "" {
				return ""
			}
			return "https://" + k.Probe.Host + k.Probe.Path
		},
		http: &http.Client{
			Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// An intent is what is written down before a refresh token is sent.
type intent struct {
	File    string    `json:"file"`
	Refresh string    `json:"refresh"` // Hash
	At      time.Time `json:"at"`
}

var (
	errUnknown = errors.New("an earlier request to the provider was interrupted, and its answer lost")
	// errAccepted: the provider accepts the token, whatever an agent's request met.
	errAccepted = errors.New("the provider accepts the token")
	// errStood: this process stood still, and somebody else may have been at work.
	errStood = errors.New("the login was no longer locked, or has changed, before the provider was asked")
)

// An unsentError is one before which the refresh token did not leave.
type unsentError struct{ error }

// Unwrap is the error itself.
func (e unsentError) Unwrap() error { return e.error }

// run replaces the token of j, unless that happened already. When it returns nil, the
// file holds another one.
func (r *refresher) run(ctx context.Context, j job) (err error) {
	k := login.Find(j.Login)
	if k == nil {
		return unsentError{errors.New("no login of that name is known")}
	}
	dir := filepath.Join(r.state, "keeper")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return unsentError{err}
	}
	if j.File, err = filepath.EvalSymlinks(j.File); err != nil { // a link stays one
		return unsentError{err}
	}
	note := filepath.Join(dir, k.Name+"-"+Hash(j.File)[:16])
	locking, cancel := context.WithTimeout(ctx, lockTime+askTime)
	defer cancel()
	own, err := takeFile(locking, note+".lock")
	if err != nil {
		return unsentError{fmt.Errorf("somebody else asks the provider: %w", err)}
	}
	defer own.free()
	force := j.Cause == expired
	if j.Cause == refused {
		if force, err = r.refused(ctx, k, j); err != nil {
			return err
		}
	}
	for range 2 {
		if err = r.locked(ctx, k, j, note, force); !errors.Is(err, errStood) {
			break
		}
	}
	return err
}

// refused asks the provider itself about a token with which an agent's request was
// answered with 401: true where it says the same. The error is errAccepted where it
// accepts it; where nothing is said, nothing is returned.
func (r *refresher) refused(ctx context.Context, k *login.Kind, j job) (bool, error) {
	t, err := tokensOf(k, j.File)
	if err != nil {
		return false, unsentError{err}
	}
	url := r.probe(k)
	if Hash(t.Access) != j.Seen || url == "" || !k.MayProbe(t) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, unsentError{err}
	}
	introduce(req)
	for name, value := range k.ProbeHeader(t) {
		req.Header.Set(name, value)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return false, nil
	}
	_ = resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return false, errAccepted
	}
	return resp.StatusCode == http.StatusUnauthorized, nil
}

// locked takes the locks of the agent's own program and replaces the token.
func (r *refresher) locked(ctx context.Context, k *login.Kind, j job, note string, force bool) error {
	if t, err := tokensOf(k, j.File); err == nil && Hash(t.Access) != j.Seen {
		return nil
	}
	locking, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	held, err := takeLocks(locking, k, j.File)
	if err != nil {
		return unsentError{err}
	}
	defer held.free()
	return r.replace(ctx, k, j, note, force, held)
}

// replace is run under the locks. Force has the refresh token sent even where it may have
// been used.
func (r *refresher) replace(ctx context.Context, k *login.Kind, j job, note string, force bool, held locks) error {
	content, _, err := readFile(j.File)
	if err != nil {
		return unsentError{err}
	}
	old, err := k.Read(content)
	if err != nil {
		return unsentError{err}
	}
	if Hash(old.Access) != j.Seen {
		return nil
	}
	// What the provider answers is good once only: it must be possible to keep it.
	if err := mayReplace(j.File, append(content, make([]byte, 4<<10)...)); err != nil {
		return unsentError{fmt.Errorf("the new tokens could not be written: %w", err)}
	}
	marked := interrupted(note, old.Refresh)
	if marked && !force {
		return unsentError{errUnknown}
	}
	if err := writeIntent(note, intent{j.File, Hash(old.Refresh), r.now()}); err != nil {
		return unsentError{fmt.Errorf("write down that the provider is asked: %w", err)}
	}
	next, fate, err := r.ask(ctx, k, old, func() error {
		t, err := tokensOf(k, j.File)
		if err != nil || t.Access != old.Access || t.Refresh != old.Refresh || !held.mine() {
			return errStood
		}
		return nil
	})
	if err == nil {
		err = r.keep(k, j.File, old, next)
	}
	if err == nil || fate == over || fate == unused && !marked {
		_ = os.Remove(note) // where it stays it says less than is known
	}
	if fate == over {
		return r.ended(k, j, old)
	}
	return err
}

// tokensOf are the tokens in the file as it is now.
func tokensOf(k *login.Kind, file string) (login.Tokens, error) {
	content, _, err := readFile(file)
	if err != nil {
		return login.Tokens{}, err
	}
	return k.Read(content)
}

// keep writes the new tokens into the file as it is now, unless somebody has put another
// login there, or none, meanwhile: that one stays.
func (r *refresher) keep(k *login.Kind, file string, old, t login.Tokens) error {
	content, _, err := readFile(file)
	if err != nil {
		return err
	}
	if now, err := k.Read(content); err != nil || now.Refresh != old.Refresh {
		return nil
	}
	if content, err = k.Write(content, t, r.now()); err != nil {
		return err
	}
	if again, err := k.Read(content); err != nil || again.Access != t.Access || again.Refresh != t.Refresh {
		return errors.New("the provider's answer makes no login file")
	}
	if err = replaceFile(file, content); err != nil {
		err = os.WriteFile(file, content, 0o600) // better half a chance than none
	}
	if err != nil {
		return fmt.Errorf("write the new tokens: %w", err)
	}
	return nil
}

// ended looks whether somebody without a lock was faster.
func (r *refresher) ended(k *login.Kind, j job, old login.Tokens) error {
	content, _, err := readFile(j.File)
	if err != nil {
		return err
	}
	if t, err := k.Read(content); err == nil && t.Access != old.Access {
		return nil
	}
	return login.ErrEnded
}

// A fate is what became of a refresh token.
type fate int

const (
	unknown fate = iota // it may have been used
	unused              // by this request
	over                // it is good for nothing, or was replaced
)

// ask asks the provider for the next tokens. Right before the refresh token is sent check
// is called; where that returns an error, it is not.
func (r *refresher) ask(ctx context.Context, k *login.Kind, t login.Tokens, check func() error) (login.Tokens, fate, error) {
	body, err := k.Request(t)
	if err != nil {
		return t, unused, unsentError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	b := &checkedBody{check: check, body: bytes.NewReader(body)}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url(k), b)
	if err != nil {
		return t, unused, unsentError{err}
	}
	req.ContentLength, req.GetBody = int64(len(body)), nil // it is sent once
	introduce(req)
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.http.Do(req)
	unsent := b.begun.CompareAndSwap(false, true)
	if err != nil {
		if failed := b.failed.Load(); failed != nil {
			return t, unused, unsentError{*failed}
		}
		if err = fmt.Errorf("the provider was not reached: %w", err); unsent {
			return t, unused, unsentError{err}
		}
		return t, unknown, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, login.MaxAnswer+1))
	if err != nil || len(answer) > login.MaxAnswer {
		return t, unknown, fmt.Errorf("the provider's answer broke off, or has more than %d KiB", login.MaxAnswer>>10)
	}
	next, err := k.Answer(t, resp.StatusCode, answer, r.now())
	switch status := resp.StatusCode; {
	case errors.Is(err, login.ErrEnded):
		return next, over, err
	case err != nil && status/100 == 4 && status != http.StatusRequestTimeout:
		return next, unused, err
	}
	return next, unknown, err
}

// introduce says who asks.
func introduce(r *http.Request) {
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "belljar/"+belljar.Version)
}

// A checkedBody is checked at the moment in which it begins to be sent. The transport
// may read it after it has returned.
type checkedBody struct {
	check  func() error
	body   *bytes.Reader
	begun  atomic.Bool
	failed atomic.Pointer[error]
	good   bool
}

// Read implements [io.Reader].
func (b *checkedBody) Read(p []byte) (int, error) {
	if !b.good {
		if !b.begun.CompareAndSwap(false, true) {
			return 0, errors.New("nobody waits for the answer")
		}
		if err := b.check(); err != nil {
			b.failed.Store(&err)
			return 0, err
		}
		b.good = true
	}
	return b.body.Read(p)
}

// interrupted says whether an earlier request with that refresh token had no answer.
func interrupted(note, refresh string) bool {
	b, err := os.ReadFile(note)
	var i intent
	return err == nil && json.Unmarshal(b, &i) == nil && i.Refresh == Hash(refresh)
}

func writeIntent(note string, i intent) error {
	b, err := json.Marshal(i)
	if err != nil {
		return err
	}
	return replaceFile(note, b)
}
