package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/credential"
	"github.com/belljar-dev/belljar/credential/login"
)

// A fakeLogin is a login whose token the provider changes.
type fakeLogin struct {
	mu    sync.Mutex
	n     int
	asked int  // for another token than the one that was refused
	stuck bool // there is no other
}

func (f *fakeLogin) current() string { return fmt.Sprintf("access-token-%04d-wT4rQ9zX2mLk8VbN", f.n) }

// rotate makes the token that everybody has good no more.
func (f *fakeLogin) rotate() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
}

// unstick says how often another token was asked for; from now on there is one.
func (f *fakeLogin) unstick() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stuck = false
	return f.asked
}

func (f *fakeLogin) good(r *http.Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return r.Header.Get("Authorization") == "Bearer "+f.current()
}

func (f *fakeLogin) token(_ context.Context, name, stale string) (string, time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if stale != "" {
		f.asked++
	}
	if f.stuck {
		return "access-token-that-is-never-good-" + name, time.Time{}, nil
	}
	return f.current(), time.Now().Add(time.Hour), nil
}

func newLoginWorld(t *testing.T, f *fakeLogin) (*secureWorld, Login) {
	t.Helper()
	creds, keys, err := credential.Make(t.Context(), []belljar.Credential{{
		Name: "LOGIN", From: belljar.CredentialSource{Login: "claude"}, Form: belljar.FormBearer, Header: "Authorization",
		Hosts: []belljar.BoundHost{{Host: "api.example.com", Port: 443}},
	}}, credential.Host{Login: f.token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	l := Login{
		Credential: "LOGIN", Access: creds[0].StandIn, Endpoints: []login.Endpoint{{Host: "auth.example.com", Path: "/oauth/token"}},
		Stand: &login.Stand{ID: "id-stand-in", Refresh: login.RefreshShape{Prefix: "rt_", Length: 80}, Scopes: []string{"a", "b"}},
	}
	n := belljar.Network{Credentials: creds, Rules: []belljar.NetRule{
		rule("api.example.com", 443), confined("auth.example.com", 443, "POST", "/oauth/token"), confined("other.example.com", 443, "GET POST", ""),
	}}
	return newSecureWorld(t, n, func(o *Options) { o.Keys, o.Logins = keys, []Login{l} }), l
}

// A token that was rotated under a request costs the agent nothing: the request is sent
// again, whole, with the next one.
func TestRotatedUnderARequest(t *testing.T) {
	each(t, func(t *testing.T, inner, outer bool) {
		f := &fakeLogin{}
		w, l := newLoginWorld(t, f)
		var mu sync.Mutex
		refused := 0
		fresh := false // no request has come since the token was good
		w.site("api.example.com", apiAddr, outer, func(rw http.ResponseWriter, r *http.Request) {
			mu.Lock()
			if fresh { // not before: a token that is older than a second is asked for before a request
				fresh = false
				f.rotate()
			}
			mu.Unlock()
			if !f.good(r) {
				mu.Lock()
				refused++
				early := refused%2 == 0 // without reading what was sent
				mu.Unlock()
				if !early {
					_, _ = io.Copy(io.Discard, r.Body)
				}
				http.Error(rw, "who are you?", http.StatusUnauthorized)
				return
			}
			h := sha256.New()
			n, err := io.Copy(h, r.Body)
			fmt.Fprintf(rw, "%d %s %v", n, hex.EncodeToString(h.Sum(nil)), err)
		})
		for i, size := range []int{0, 10, 100_000, 100_000, 3 << 20, 3 << 20} {
			mu.Lock()
			fresh = true
			mu.Unlock()
			body := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
			sum := sha256.Sum256(body)
			status, _, got := w.ask(inner, "POST", "https://api.example.com/v1/messages", string(body), "Authorization", "Bearer "+l.Access)
			if want := fmt.Sprintf("%d %s <nil>", size, hex.EncodeToString(sum[:])); status != 200 || got != want {
				t.Errorf("%d: %d %q, want %q", i, status, got, want)
			}
		}
		if w.g.kept.Load() != 0 {
			t.Errorf("%d bytes are still kept", w.g.kept.Load())
		}
		mu.Lock()
		defer mu.Unlock()
		if refused != 6 {
			t.Errorf("the server refused %d times", refused)
		}
	})
}

// A provider that accepts nothing is asked a bounded number of times, and what it says
// arrives; a body that is too large is not kept.
func TestNeverAccepted(t *testing.T) {
	f := &fakeLogin{stuck: true}
	w, l := newLoginWorld(t, f)
	var mu sync.Mutex
	asked := 0
	w.site("api.example.com", apiAddr, false, func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked++
		mu.Unlock()
		_, _ = io.Copy(io.Discard, r.Body)
		http.Error(rw, "who are you?", http.StatusUnauthorized)
	})
	status, _, got := w.ask(false, "POST", "https://api.example.com/", "hello", "Authorization", "Bearer "+l.Access)
	mu.Lock()
	if n := f.unstick(); status != 401 || !strings.Contains(got, "who are you?") || asked != 1 || n != 1 {
		t.Errorf("%d %q after %d requests, %d for a token", status, got, asked, n)
	}
	mu.Unlock()
	status, _, _ = w.ask(false, "POST", "https://api.example.com/", strings.Repeat("x", 2*maxRepeated), "Authorization", "Bearer "+l.Access)
	if status != 401 || w.g.kept.Load() != 0 {
		t.Errorf("%d, %d bytes are kept", status, w.g.kept.Load())
	}
}

// Who asks for new tokens inside is answered here, and nothing of it leaves.
func TestTokenEndpoint(t *testing.T) {
	each(t, func(t *testing.T, inner, outer bool) {
		w, l := newLoginWorld(t, &fakeLogin{})
		w.site("auth.example.com", "203.0.113.77:443", outer, func(http.ResponseWriter, *http.Request) { t.Error("it left") })
		url := "https://auth.example.com/oauth/token"
		refresh := login.Refresh(l.Access, l.Stand.Refresh)
		status, _, got := w.ask(inner, "POST", url, `{"grant_type":"refresh_token","refresh_token":"`+refresh+`"}`, "Content-Type", "application/json")
		for _, want := range []string{`"access_token":"` + l.Access, `"refresh_token":"` + refresh, `"id_token":"id-stand-in"`, `"expires_in":`} {
			if status != 200 || !strings.Contains(got, want) {
				t.Errorf("%d %s lacks %s", status, got, want)
			}
		}
		if e := w.rec.wait(t, belljar.EventRequest, "auth.example.com"); e.Status != 200 || e.Path != "/oauth/token" {
			t.Errorf("recorded %+v", e)
		}
		for _, body := range []string{
			"", "[]", `{"grant_type":"refresh_token","refresh_token":"another"}`, `{"grant_type":"authorization_code","code":"x"}`,
			`{"grant_type":"refresh_token","refresh_token":"` + refresh + `"}` + strings.Repeat(" ", maxAsk),
		} {
			if status, _, got := w.ask(inner, "POST", url, body); status != 403 || !strings.Contains(got, "made outside") {
				t.Errorf("%.60q: %d %s", body, status, got)
			}
		}
		if status, _, _ := w.ask(inner, "POST", "https://auth.example.com/oauth/revoke", refresh); status != 403 {
			t.Errorf("another path: %d", status)
		}
		// Elsewhere the stand-in is an attempt to carry it away.
		if status, _, _ := w.ask(inner, "POST", "https://other.example.com/oauth/token", "x", "Authorization", "Bearer "+l.Access); status != 403 {
			t.Errorf("another host: %d", status)
		}
	})
}
