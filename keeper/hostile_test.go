package keeper

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/belljar-dev/belljar/credential/login"
)

// An agent that provokes a 401 does not have a refresh token sent that may have been
// used, as long as the provider itself does not refuse the access token: the login would
// end. Nor is the access token lost.
func TestProvokedWithMark(t *testing.T) {
	for name, status := range map[string]int{"accepted": 0, "unknown": http.StatusForbidden, "down": http.StatusBadGateway, "redirected": http.StatusFound} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			r := testRefresher(t.TempDir(), p.URL)
			l := &logins{refresh: r.run, now: time.Now, burst: burst, all: map[string]*one{}}
			file := p.loginFile(t, time.Now().Add(time.Hour))
			access, refresh := p.current()
			note := mark(t, r, file, refresh)
			p.used[refresh], p.refresh, p.probe = true, "that-nobody-received", status
			for range 20 {
				if got, err := l.token(t.Context(), claude(), file, Hash(access)); (err == nil) != (status == 0) || err == nil && got.Access != access {
					t.Errorf("%q %v", got.Access, err)
				}
			}
			if got := mustToken(t, l, file, ""); got != access {
				t.Errorf("%q", got)
			}
			if asked, revoked := p.state(); asked != 0 || revoked != "" || p.probed > burst {
				t.Errorf("asked %d times, probed %d times, %s", asked, p.probed, revoked)
			}
			if _, err := os.Stat(note); err != nil {
				t.Errorf("the mark: %v", err)
			}
		})
	}
}

// Without a mark, too, a token that the provider accepts is not replaced, however many
// requests an agent has answered with 401, and the provider is not asked for each. A
// token that may not ask the provider is replaced, as often as the bucket allows.
func TestProvoked(t *testing.T) {
	p := newProvider(t)
	l := inProcess(t, p, burst)
	file := p.loginFile(t, time.Now().Add(time.Hour))
	access, _ := p.current()
	for range 50 {
		if got := mustToken(t, l, file, Hash(access)); got != access {
			t.Fatalf("%q", got)
		}
	}
	if asked, _ := p.state(); asked != 0 || p.probed != 1 {
		t.Errorf("asked %d times, probed %d times", asked, p.probed)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(b), "user:profile", "user:other")), 0o600); err != nil {
		t.Fatal(err)
	}
	l = inProcess(t, p, burst)
	if got := mustToken(t, l, file, Hash(access)); got == access || p.probed != 1 {
		t.Errorf("%q, probed %d times", got, p.probed)
	}
}

// A mark stays where the request that was made in spite of it did not get to the
// provider, or was put off.
func TestMarkStays(t *testing.T) {
	p := newProvider(t)
	file := p.loginFile(t, time.Now().Add(-time.Second))
	_, refresh := p.current()
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }))
	defer busy.Close()
	for _, url := range []string{busy.URL, "http://127.0.0.1:1"} {
		r := testRefresher(t.TempDir(), url)
		note := mark(t, r, file, refresh)
		if err := r.run(t.Context(), job{"claude", file, Hash(p.access), expired}); err == nil {
			t.Error("no error")
		}
		if !interrupted(note, refresh) {
			t.Errorf("%s: the mark is gone", url)
		}
		r = testRefresher(t.TempDir(), url) // and none is made where it is known to be unused
		if err := r.run(t.Context(), job{"claude", file, Hash(p.access), expired}); err == nil {
			t.Error("no error")
		}
		if left, err := filepath.Glob(filepath.Join(r.state, "keeper", "*[^k]")); err != nil || len(left) != 0 {
			t.Errorf("%s: %v %v", url, left, err)
		}
	}
}

// Who logs in with another account, or out, while the provider is asked keeps what that
// wrote, and that is what is used.
func TestKeepsAnotherLogin(t *testing.T) {
	for name, other := range map[string]string{
		"account": `{"claudeAiOauth":{"accessToken":"OTHER-ACCESS","refreshToken":"OTHER-REFRESH","expiresAt":4102444800000}}`,
		"none":    `{"mcpOAuth":{}}`,
	} {
		p := newProvider(t)
		l := inProcess(t, p, burst)
		file := p.loginFile(t, time.Now().Add(-time.Second))
		p.after = func() {
			if err := os.WriteFile(file, []byte(other), 0o600); err != nil {
				t.Error(err)
			}
		}
		got, err := l.token(t.Context(), claude(), file, "")
		if b, _ := os.ReadFile(file); string(b) != other {
			t.Errorf("%s: it was overwritten: %s", name, b)
		}
		if name == "account" && (err != nil || got.Access != "OTHER-ACCESS") || name == "none" && err == nil {
			t.Errorf("%s: %q %v", name, got.Access, err)
		}
	}
}

// A process that stands still until its locks are taken for left, with the request for
// new tokens half made, does not send a refresh token that somebody used meanwhile, and
// leaves their locks alone.
func TestStoodStill(t *testing.T) {
	for name, kind := range map[string]struct{ rotates, takes bool }{
		"locks and login": {true, true}, "login": {true, false}, "locks": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			file := p.loginFile(t, time.Now().Add(-time.Second))
			dir := filepath.Dir(file)
			r := testRefresher(t.TempDir(), p.URL)
			l := &logins{refresh: r.run, now: time.Now, burst: burst, all: map[string]*one{}}
			var theirs []*lock
			stood := 0
			r.http.Transport = &http.Transport{DialContext: func(ctx context.Context, n, a string) (net.Conn, error) {
				if stood++; stood == 1 && kind.takes {
					for _, path := range []string{dir + ".lock", filepath.Join(dir, ".oauth_refresh.lock")} {
						old := time.Now().Add(-lockStale - time.Second)
						if err := os.Chtimes(path, old, old); err != nil {
							t.Error(err)
						}
						one, err := takeFolder(ctx, path)
						if err != nil {
							return nil, err
						}
						theirs = append(theirs, one)
					}
				}
				if stood == 1 && kind.rotates {
					p.mu.Lock()
					p.used[p.refresh] = true
					p.next()
					p.mu.Unlock()
					b, err := os.ReadFile(p.loginFile(t, time.Now().Add(time.Hour)))
					if err == nil {
						err = os.WriteFile(file, b, 0o600)
					}
					if err != nil {
						t.Error(err)
					}
				}
				if !kind.rotates { // they give them back, and ours is the next
					go func(mine []*lock) { locks(mine).free() }(theirs)
					theirs = nil
				}
				return (&net.Dialer{}).DialContext(ctx, n, a)
			}}
			ctx, cancel := context.WithTimeout(t.Context(), lockTime/2)
			defer cancel()
			got, err := l.token(ctx, claude(), file, "")
			if err != nil || !p.accepts(got.Access) {
				t.Errorf("%q %v", got.Access, err)
			}
			if asked, revoked := p.state(); revoked != "" || kind.rotates && asked != 0 {
				t.Errorf("asked %d times, %s", asked, revoked)
			}
			if !kind.rotates && stood != 2 {
				t.Errorf("%d connections: the token was sent without the locks", stood)
			}
			if !locks(theirs).mine() {
				t.Error("somebody else's lock is gone")
			}
			locks(theirs).free()
		})
	}
}

// A lock is touched while it is held, and is no longer ours where somebody else has
// touched, removed or made it.
func TestLockIsOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "lock")
		l, err := takeFolder(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			time.Sleep(lockTouch)
			synctest.Wait()
			if fi, err := os.Stat(path); err != nil || time.Since(fi.ModTime()) > time.Second || !l.mine() {
				t.Fatalf("%v %v, ours: %v", fi, err, l.mine())
			}
		}
		l.at = l.at.Add(-lockStale) // the process stood still
		if l.mine() {
			t.Error("a lock that may be taken for left is ours")
		}
		l.touch()
		if l.mine() {
			t.Error("it is ours again")
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		l.free()
		if _, err := os.Stat(path); err != nil {
			t.Errorf("somebody else's lock: %v", err)
		}
	})
	path := filepath.Join(t.TempDir(), "file")
	l, err := takeFile(t.Context(), path)
	if err != nil || !l.mine() {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if l.mine() {
		t.Error("the lock of a file that is gone is ours")
	}
	l.free()
}

// While one sandbox waits for another token, or its refused one is looked into, the
// others get the one that is good; who has none waits, and is given the same.
func TestOthersDoNotWait(t *testing.T) {
	p := newProvider(t)
	file := p.loginFile(t, time.Now().Add(time.Hour))
	access, _ := p.current()
	in, goOn := make(chan bool), make(chan error)
	l := &logins{now: time.Now, burst: burst, all: map[string]*one{}, refresh: func(context.Context, job) error { in <- true; return <-goOn }}
	type result struct {
		tok login.Tokens
		err error
	}
	done := make(chan result, 2)
	ask := func() {
		tok, err := l.token(context.WithoutCancel(t.Context()), claude(), file, Hash(access))
		done <- result{tok, err}
	}
	go ask()
	<-in
	go ask()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if got, err := l.token(ctx, claude(), file, ""); err != nil || got.Access != access {
		t.Errorf("%q %v", got.Access, err)
	}
	goOn <- errUnknown
	for range 2 {
		select {
		case r := <-done:
			if !errors.Is(r.err, errUnknown) {
				t.Errorf("%v", r.err)
			}
		case <-in: // the second came later than the first had its answer
			goOn <- errUnknown
			if r := <-done; !errors.Is(r.err, errUnknown) {
				t.Errorf("%v", r.err)
			}
		}
	}
}

// expiredProvider gives codex tokens that have expired when they come, and says how many.
func expiredProvider(t *testing.T) (url, file string, given *int) {
	n := new(int)
	token := func() string {
		b, _ := json.Marshal(map[string]any{"exp": time.Now().Add(-time.Minute).Unix(), "n": *n})
		return "e30." + base64.RawURLEncoding.EncodeToString(b) + ".c2ln"
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		*n++
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token(), "refresh_token": fmt.Sprint("rt_", *n)})
	}))
	t.Cleanup(s.Close)
	file = filepath.Join(t.TempDir(), "auth.json")
	if err := os.WriteFile(file, []byte(`{"tokens":{"access_token":"`+token()+`","refresh_token":"rt_0"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.URL, file, n
}

// A provider whose tokens have expired when they come is not asked for ever more of
// them; one that is not reached is, and that uses up nothing.
func TestExpiredBounded(t *testing.T) {
	url, file, given := expiredProvider(t)
	r := testRefresher(t.TempDir(), "http://127.0.0.1:1")
	l := &logins{refresh: r.run, now: time.Now, burst: burst, all: map[string]*one{}}
	for range 2 * burst {
		if _, err := l.token(t.Context(), login.Find("codex"), file, ""); err == nil || !strings.Contains(err.Error(), "not reached") {
			t.Errorf("%v", err)
		}
	}
	r.url = func(*login.Kind) string { return url }
	var err error
	for range 40 {
		if _, err = l.token(t.Context(), login.Find("codex"), file, ""); err == nil {
			t.Error("an expired token was given out")
		}
	}
	if *given != burst {
		t.Errorf("asked %d times: %v", *given, err)
	}
}

// What is no token, or would make no login file, does not get into it; the refresh token
// was used, so the mark stays.
func TestBadAnswer(t *testing.T) {
	for _, answer := range []string{
		`{"access_token":"new token","refresh_token":"r"}`, `{"access_token":"a","refresh_token":"r\n2"}`,
		`{"access_token":"a","refresh_token":"r","id_token":"\u0000"}`, `{}`, `<html>`,
		`{"access_token":"` + strings.Repeat("a", 17<<10) + `"}`,
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }))
		p := newProvider(t)
		_, refresh := p.current()
		file := p.loginFile(t, time.Now().Add(-time.Second))
		before, _ := os.ReadFile(file)
		r := testRefresher(t.TempDir(), s.URL)
		l := &logins{refresh: r.run, now: time.Now, burst: burst, all: map[string]*one{}}
		if _, err := l.token(t.Context(), claude(), file, ""); err == nil {
			t.Errorf("%.60s: no error", answer)
		}
		if after, _ := os.ReadFile(file); string(after) != string(before) {
			t.Errorf("%.60s: the file has become %s", answer, after)
		}
		if note := filepath.Join(r.state, "keeper", "claude-"+Hash(file)[:16]); !interrupted(note, refresh) {
			t.Errorf("%.60s: the mark is gone", answer)
		}
		s.Close()
	}
}

// How a job ended comes through from the process that did it.
func TestEnding(t *testing.T) {
	for _, err := range []error{nil, login.ErrEnded, errAccepted, errUnknown, unsentError{errUnknown}} {
		b, _ := json.Marshal(endingOf(err))
		var e ending
		if json.Unmarshal(b, &e) != nil || endingOf(e.err()) != endingOf(err) {
			t.Errorf("%v: %s, %v", err, b, e.err())
		}
	}
}
