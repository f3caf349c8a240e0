package keeper

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A provider gives tokens as the strictest do: a refresh token is good once, and who
// sends it again ends the login.
type provider struct {
	*httptest.Server
	mu      sync.Mutex
	n       int
	access  string          // that is accepted
	used    map[string]bool // refresh tokens
	refresh string
	revoked string // why the login has ended
	asked   int
	life    time.Duration
	after   func() // the answer was decided, and is not sent yet
	probed  int    // asked whether it accepts a token
	probe   int    // the status that says so; 0: the truth
}

func newProvider(t testing.TB) *provider {
	p := &provider{used: map[string]bool{}, life: time.Hour}
	p.next()
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.Close)
	return p
}

// next rotates: what was accepted is not any more.
func (p *provider) next() {
	p.n++
	p.access = fmt.Sprintf("sk-ant-oat01-access-%06d-%s", p.n, strings.Repeat("x", 40))
	p.refresh = fmt.Sprintf("sk-ant-ort01-refresh-%06d-%s", p.n, strings.Repeat("y", 40))
}

// probePath is where p says whether it accepts a token.
const probePath = "/probe"

func (p *provider) serveProbe(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probed++
	status := p.probe
	if status == 0 {
		status = http.StatusUnauthorized
		if p.access != "" && r.Header.Get("Authorization") == "Bearer "+p.access {
			status = http.StatusOK
		}
	}
	w.WriteHeader(status)
}

func (p *provider) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == probePath {
		p.serveProbe(w, r)
		return
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return // no refresh token in it
	}
	var q struct {
		Grant   string `json:"grant_type"`
		Refresh string `json:"refresh_token"`
		Client  string `json:"client_id"`
	}
	_ = json.Unmarshal(b, &q)
	p.mu.Lock()
	p.asked++
	var answer map[string]any
	status := http.StatusOK
	switch {
	case q.Grant != "refresh_token" || q.Client == "":
		status, answer = http.StatusBadRequest, map[string]any{"error": "invalid_request"}
	case p.revoked != "" || q.Refresh != p.refresh:
		if p.used[q.Refresh] && p.revoked == "" {
			p.revoked, p.access = "the refresh token "+q.Refresh+" was sent twice", ""
		}
		status, answer = http.StatusBadRequest, map[string]any{"error": "invalid_grant"}
	default:
		p.used[p.refresh] = true
		p.next()
		answer = map[string]any{"access_token": p.access, "refresh_token": p.refresh, "expires_in": p.life.Seconds(), "scope": "user:inference user:profile"}
	}
	after := p.after
	p.mu.Unlock()
	if after != nil {
		after()
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

// expire makes the access token that is good now good no more.
func (p *provider) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.access = ""
}

// accepts says whether a request with that token is answered with anything but 401.
func (p *provider) accepts(token string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return token != "" && token == p.access
}

func (p *provider) current() (access, refresh string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.access, p.refresh
}

func (p *provider) state() (asked int, revoked string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked, p.revoked
}

// loginFile writes the login that p knows into a home, with something of the program's own.
func (p *provider) loginFile(t testing.TB, expires time.Time) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), ".claude")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	access, refresh := p.current()
	file := filepath.Join(dir, ".credentials.json")
	b, err := json.Marshal(map[string]any{
		"claudeAiOauth": map[string]any{
			"accessToken": access, "refreshToken": refresh, "expiresAt": expires.UnixMilli(), "scopes": []string{"user:inference", "user:profile"},
			"subscriptionType": "max", "ofLaterVersions": 7,
		},
		"mcpOAuth": map[string]any{"server": map[string]any{"accessToken": "SECRET-OF-MCP"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
