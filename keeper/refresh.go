package keeper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/credential/login"
)

const (
	askTime  = 30 * time.Second // the provider has to answer
	lockTime = 20 * time.Second // the locks are waited for
)

// A job is one access token that is to be replaced.
type job struct {
	Login string `json:"login"`
	File  string `json:"file"`
	Seen  string `json:"seen"` // Hash of the token
	// Last says that the token is of no use any more: the refresh token is sent even
	// where it may have been used.
	Last bool `json:"last"`
}

// A refresher carries out jobs.
type refresher struct {
	state string       // a private folder
	http  *http.Client // to the provider
	url   func(k *login.Kind) string
	now   func() time.Time
}

// newRefresher asks the providers themselves.
func newRefresher(state string) *refresher {
	return &refresher{
		state: state, now: time.Now,
		url: func(k *login.Kind) string { return "https://" + k.Token.Host + k.Token.Path },
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

var errUnknown = errors.New("an earlier request to the provider was interrupted, and its answer lost")

// run replaces the token of j, unless that happened already. When it returns nil, the
// file holds another one.
func (r *refresher) run(ctx context.Context, j job) (err error) {
	k := login.Find(j.Login)
	if k == nil {
		return errors.New("no login of that name is known")
	}
	dir := filepath.Join(r.state, "keeper")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if j.File, err = filepath.EvalSymlinks(j.File); err != nil { // a link stays one
		return err
	}
	note := filepath.Join(dir, k.Name+"-"+Hash(j.File)[:16])
	locking, cancel := context.WithTimeout(ctx, lockTime+askTime)
	defer cancel()
	free, err := takeFile(locking, note+".lock")
	if err != nil {
		return fmt.Errorf("somebody else asks the provider: %w", err)
	}
	defer free()
	locking, cancel = context.WithTimeout(ctx, lockTime)
	defer cancel()
	freeAll, err := takeLocks(locking, k, j.File)
	if err != nil {
		return err
	}
	defer freeAll()
	return r.replace(ctx, k, j, note)
}

// replace is run under the locks.
func (r *refresher) replace(ctx context.Context, k *login.Kind, j job, note string) error {
	content, _, err := readFile(j.File)
	if err != nil {
		return err
	}
	old, err := k.Read(content)
	if err != nil {
		return err
	}
	if Hash(old.Access) != j.Seen {
		return nil
	}
	// What the provider answers is good once only: it must be possible to keep it.
	if err := mayReplace(j.File, append(content, make([]byte, 4<<10)...)); err != nil {
		return fmt.Errorf("the new tokens could not be written: %w", err)
	}
	if interrupted(note, old.Refresh) && !j.Last {
		return errUnknown
	}
	if err := writeIntent(note, intent{j.File, Hash(old.Refresh), r.now()}); err != nil {
		return fmt.Errorf("write down that the provider is asked: %w", err)
	}
	next, known, err := r.ask(ctx, k, old)
	if err == nil {
		err = r.keep(k, j.File, next)
	}
	if known {
		_ = os.Remove(note) // where it stays it says less than is known
	}
	if errors.Is(err, login.ErrEnded) {
		return r.ended(k, j, old)
	}
	return err
}

// keep writes the new tokens into the file as it is now.
func (r *refresher) keep(k *login.Kind, file string, t login.Tokens) error {
	content, _, err := readFile(file)
	if err != nil {
		return err
	}
	if content, err = k.Write(content, t, r.now()); err != nil {
		return err
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

// ask asks the provider for the next tokens. known says that the refresh token is good
// or not as the error tells; else nobody knows whether it was used.
func (r *refresher) ask(ctx context.Context, k *login.Kind, t login.Tokens) (next login.Tokens, known bool, err error) {
	body, err := k.Request(t)
	if err != nil {
		return t, true, err
	}
	var sent atomic.Bool
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url(k), bytes.NewReader(body))
	if err != nil {
		return t, true, err
	}
	req.GetBody = nil // it is sent once
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "belljar/"+belljar.Version)
	resp, err := r.http.Do(req)
	if err != nil {
		return t, !sent.Load(), fmt.Errorf("the provider was not reached: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, login.MaxAnswer+1))
	if err != nil || len(answer) > login.MaxAnswer {
		return t, false, fmt.Errorf("the provider's answer broke off, or has more than %d KiB", login.MaxAnswer>>10)
	}
	next, err = k.Answer(t, resp.StatusCode, answer, r.now())
	return next, resp.StatusCode < 500 && resp.StatusCode != http.StatusRequestTimeout, err
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
