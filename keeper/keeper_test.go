package keeper

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/credential/login"
)

// inProcess is the keeper's logic with p as the provider, without processes.
func inProcess(t testing.TB, p *provider, burst int) *logins {
	r := testRefresher(t.TempDir(), p.URL)
	return &logins{refresh: r.run, now: time.Now, burst: burst, all: map[string]*one{}}
}

func testRefresher(state, url string) *refresher {
	r := newRefresher(state)
	r.http = &http.Client{Transport: &http.Transport{}}
	r.url = func(*login.Kind) string { return url }
	r.probe = func(*login.Kind) string { return url + probePath }
	return r
}

func claude() *login.Kind { return login.Find("claude") }

func mustToken(t *testing.T, l *logins, file, stale string) string {
	t.Helper()
	tok, err := l.token(t.Context(), claude(), file, stale)
	if err != nil {
		t.Fatal(err)
	}
	return tok.Access
}

// A token that is good is given as it is, one that expires is replaced before, once; the
// file has the new pair, with everything else that it had, and nobody else may read it.
func TestReplaces(t *testing.T) {
	p := newProvider(t)
	l := inProcess(t, p, burst)
	file := p.loginFile(t, time.Now().Add(time.Hour))
	first, _ := p.current()
	if got := mustToken(t, l, file, ""); got != first {
		t.Fatalf("%q", got)
	}
	file = p.loginFile(t, time.Now().Add(-time.Second))
	got := mustToken(t, l, file, "")
	now, refresh := p.current()
	if got != now || got == first {
		t.Fatalf("%q, not %q", got, now)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{now, refresh, `"ofLaterVersions": 7`, "SECRET-OF-MCP", `"subscriptionType": "max"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the file lacks %s: %s", want, b)
		}
	}
	if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", fi, err)
	}
	left, err := filepath.Glob(filepath.Dir(file) + "*/*")
	if err != nil || len(left) > 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if got := mustToken(t, l, file, ""); got != now {
		t.Errorf("replaced again: %q", got)
	}
	if asked, revoked := p.state(); asked != 1 || revoked != "" {
		t.Errorf("asked %d times, %s", asked, revoked)
	}
}

// A token that expires soon is given out while another one is fetched: nobody waits.
func TestEarly(t *testing.T) {
	p := newProvider(t)
	l := inProcess(t, p, burst)
	file := p.loginFile(t, time.Now().Add(time.Minute))
	old, _ := p.current()
	answered := make(chan struct{})
	hold := make(chan struct{})
	p.after = func() { close(answered); <-hold }
	if got := mustToken(t, l, file, ""); got != old {
		t.Errorf("%q", got)
	}
	<-answered
	if got := mustToken(t, l, file, ""); got != old { // also while the provider is slow
		t.Errorf("%q", got)
	}
	close(hold)
	for deadline := time.Now().Add(2 * time.Minute); ; {
		if p.accepts(mustToken(t, l, file, "")) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the new token is not given out")
		}
	}
	if asked, revoked := p.state(); asked != 1 || revoked != "" {
		t.Errorf("asked %d times, %s", asked, revoked)
	}
}

// What the host's own program wrote is found at once.
func TestHostRotates(t *testing.T) {
	p := newProvider(t)
	l := inProcess(t, p, burst)
	file := p.loginFile(t, time.Now().Add(time.Hour))
	old := mustToken(t, l, file, "")
	p.mu.Lock()
	p.used[p.refresh] = true
	p.next()
	p.mu.Unlock()
	b, err := os.ReadFile(p.loginFile(t, time.Now().Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := mustToken(t, l, file, Hash(old)); !p.accepts(got) {
		t.Errorf("%q", got)
	}
	if asked, revoked := p.state(); asked != 0 || revoked != "" {
		t.Errorf("asked %d times, %s", asked, revoked)
	}
}

// A login that has ended is told, and the provider is not asked again.
func TestEnded(t *testing.T) {
	p := newProvider(t)
	l := inProcess(t, p, burst)
	file := p.loginFile(t, time.Now().Add(-time.Second))
	p.mu.Lock()
	p.revoked = "by hand"
	p.mu.Unlock()
	for range 3 {
		if _, err := l.token(t.Context(), claude(), file, ""); err == nil || !strings.Contains(err.Error(), "claude auth login") {
			t.Errorf("%v", err)
		}
	}
	if asked, _ := p.state(); asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// A provider that accepts no token at all is not asked for ever more of them, whether it
// says so itself or says nothing.
func TestRefusedBounded(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusNotFound} {
		p := newProvider(t)
		p.probe = status
		l := inProcess(t, p, 3)
		file := p.loginFile(t, time.Now().Add(time.Hour))
		got := mustToken(t, l, file, "")
		for range 10 {
			tok, err := l.token(t.Context(), claude(), file, Hash(got))
			if err == nil {
				got = tok.Access
			}
		}
		if asked, _ := p.state(); asked != 3 {
			t.Errorf("%d: asked %d times", status, asked)
		}
	}
}

// mark writes down that an answer for that refresh token was lost.
func mark(t *testing.T, r *refresher, file, refresh string) (note string) {
	t.Helper()
	note = filepath.Join(r.state, "keeper", "claude-"+Hash(file)[:16])
	if err := os.MkdirAll(filepath.Dir(note), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeIntent(note, intent{file, Hash(refresh), time.Now()}); err != nil {
		t.Fatal(err)
	}
	return note
}

// A request whose answer was lost is not repeated while the access token is good; where
// the provider itself says that it is not any more, it is the last resort.
func TestInterrupted(t *testing.T) {
	p := newProvider(t)
	l := inProcess(t, p, burst)
	file := p.loginFile(t, time.Now().Add(time.Minute)) // soon
	access, refresh := p.current()
	r := testRefresher(t.TempDir(), p.URL)
	l.refresh = r.run
	note := mark(t, r, file, refresh)
	if got := mustToken(t, l, file, ""); got != access {
		t.Errorf("%q", got)
	}
	if got := mustToken(t, l, file, Hash(access)); got != access {
		t.Errorf("%q", got)
	}
	if asked, _ := p.state(); asked != 0 {
		t.Error("the refresh token was sent though it may have been used")
	}
	p.expire()
	now := time.Now().Add(proven)
	l.now = func() time.Time { return now }
	if got := mustToken(t, l, file, Hash(access)); !p.accepts(got) {
		t.Errorf("%q", got)
	}
	if _, err := os.Stat(note); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the mark stays: %v", err)
	}
}

// Where the new tokens could not be kept, the old one is not given away.
func TestUnwritable(t *testing.T) {
	p := newProvider(t)
	l := inProcess(t, p, burst)
	file := p.loginFile(t, time.Now().Add(-time.Second))
	if err := os.Mkdir(file+".belljar-new", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(file+".belljar-new", "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.token(t.Context(), claude(), file, ""); err == nil || !strings.Contains(err.Error(), "could not be written") {
		t.Errorf("%v", err)
	}
	if asked, _ := p.state(); asked != 0 {
		t.Error("the provider was asked")
	}
}

// The lock of the host's own program is waited for, and one that was left is taken.
func TestHostLock(t *testing.T) {
	p := newProvider(t)
	l := inProcess(t, p, burst)
	file := p.loginFile(t, time.Now().Add(-time.Second))
	stale := filepath.Dir(file) + ".lock"
	held := filepath.Join(filepath.Dir(file), ".oauth_refresh.lock")
	for _, d := range []string{stale, held} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(stale, long, long); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := l.token(context.WithoutCancel(t.Context()), claude(), file, "")
		done <- err
	}()
	for deadline := time.Now().Add(2 * time.Minute); ; { // it has taken the stale one over
		if fi, err := os.Stat(stale); err == nil && time.Since(fi.ModTime()) < time.Minute {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the stale lock was not taken")
		}
		select {
		case err := <-done:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
	}
	if asked, _ := p.state(); asked != 0 {
		t.Error("asked under somebody's lock")
	}
	if err := os.Remove(held); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Many sandboxes, the same login, tokens that the provider does not accept any more
// again and again: each expiry costs one refresh, no refresh token is sent twice, and
// nobody is left with a token that is not accepted.
func TestManySandboxes(t *testing.T) {
	sandboxes, expiries := 20, 60
	if os.Getenv("BELLJAR_SOAK") != "" {
		sandboxes, expiries = 50, 1000
	}
	p := newProvider(t)
	l := inProcess(t, p, 1<<30)
	file := p.loginFile(t, time.Now().Add(time.Hour))
	for i := range expiries {
		var wait sync.WaitGroup
		old := mustToken(t, l, file, "")
		p.expire()
		for range sandboxes {
			wait.Go(func() {
				tok, err := l.token(context.WithoutCancel(t.Context()), claude(), file, Hash(old))
				if err != nil || !p.accepts(tok.Access) {
					t.Errorf("expiry %d: %v: a 401 would have reached an agent", i, err)
				}
			})
		}
		wait.Wait()
		if t.Failed() {
			break
		}
	}
	if asked, revoked := p.state(); asked != expiries || revoked != "" {
		t.Errorf("asked %d times for %d expiries, %s", asked, expiries, revoked)
	}
}

// Who gives up leaves the connection to the next.
func TestGivesUp(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	c := NewClient(Options{start: func(context.Context) error { return errors.New("nothing is started") }})
	defer c.Close()
	c.conn, c.in = here, bufio.NewReader(here)
	ctx, cancel := context.WithCancel(t.Context())
	in := bufio.NewReader(there)
	go func() {
		for i := 0; ; i++ {
			if _, err := readLine(in, maxRequest); err != nil {
				return
			}
			if i == 0 {
				cancel()
			}
			b, _ := json.Marshal(reply{Token: "token"})
			if _, err := there.Write(append(b, '\n')); err != nil {
				return
			}
		}
	}()
	_, _, _ = c.Token(ctx, "claude", "/h/.credentials.json", "")
	if got, _, err := c.Token(t.Context(), "claude", "/h/.credentials.json", ""); err != nil || got != "token" {
		t.Errorf("%q %v", got, err)
	}
}

// Who asks for a supervisor asks for tokens of its logins, and for nothing else.
func TestDoorRefuses(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	asked := 0
	go func() {
		defer there.Close()
		_ = answerDoor(there, func(context.Context, request) (reply, error) { asked++; return reply{Token: "t"}, nil }, []Known{{"claude", "/h/.claude/.credentials.json"}})
	}()
	in := bufio.NewReader(here)
	for line, ok := range map[string]bool{
		`{"op":"token","login":"claude","file":"/h/.claude/.credentials.json"}`:    true,
		`{"op":"stand-in","login":"claude","file":"/h/.claude/.credentials.json"}`: false,
		`{"op":"token","login":"claude","file":"/other/.credentials.json"}`:        false,
		`{"op":"token","login":"codex","file":"/h/.codex/auth.json"}`:              false,
		`nonsense`: false,
	} {
		if _, err := here.Write([]byte(line + "\n")); err != nil {
			t.Fatal(err)
		}
		b, err := readLine(in, maxReply)
		if err != nil {
			t.Fatal(err)
		}
		var r reply
		if err := json.Unmarshal(b, &r); err != nil || (r.Token != "") != ok || (r.Error == "") != ok {
			t.Errorf("%s: %s %v", line, b, err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"op":"token","login":"claude","file":"/nonexistent/.credentials.json","stale":""}`))
	f.Add([]byte(`{"op":"stand-in","login":"codex","file":"/nonexistent/auth.json"}`))
	f.Add([]byte(`{"op":"token","login":"claude","file":"/nonexistent/../.credentials.json"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		l := &logins{refresh: func(context.Context, job) error { return errors.New("no") }, now: time.Now, burst: 1, all: map[string]*one{}}
		r, k, err := parseRequest(line)
		if err == nil && (k == nil || !filepath.IsAbs(r.File) || strings.Contains(r.File, "..") && filepath.Clean(r.File) != r.File) {
			t.Errorf("%q: %+v", line, r)
		}
		if err == nil && !strings.HasPrefix(r.File, "/nonexistent/") {
			return
		}
		a := l.answer(t.Context(), line)
		if a.Error == "" || a.Token != "" {
			t.Errorf("%q: %+v", line, a)
		}
		if _, err := json.Marshal(a); err != nil {
			t.Error(err)
		}
	})
}
