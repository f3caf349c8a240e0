package credential

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

// aLogin is a login whose token changes when its owner is told that it was refused.
type aLogin struct {
	token   string
	expires time.Time
	err     error
	stale   []string
}

func (l *aLogin) ask(_ context.Context, _, stale string) (string, time.Time, error) {
	l.stale = append(l.stale, stale)
	return l.token, l.expires, l.err
}

func loginKeys(t *testing.T, l *aLogin) (*Keys, belljar.Credential) {
	t.Helper()
	creds, k, err := Make(t.Context(), []belljar.Credential{{
		Name: "L", From: belljar.CredentialSource{Login: "claude"}, Form: belljar.FormBearer, Header: "Authorization",
		Hosts: []belljar.BoundHost{{Host: "api.test", Port: 443}},
	}}, Host{Login: l.ask})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k, creds[0]
}

func send(t *testing.T, k *Keys, standIn string) (*Verdict, http.Header) {
	t.Helper()
	h := http.Header{"Authorization": {"Bearer " + standIn}}
	return k.Outgoing(t.Context(), &Request{Host: "api.test", Port: 443, Secure: true, Method: "POST", Path: "/", URI: "/", Header: h}), h
}

// A login's token takes the place of its stand-in; Renew asks for another one than that
// which was refused, by its hash, and what was known before is still taken out of answers.
func TestLoginRenews(t *testing.T) {
	const first, second = "sk-ant-oat01-FirstTokenOfTheLogin00", "sk-ant-oat01-SecondTokenOfTheLogin0"
	l := &aLogin{token: first, expires: time.Now().Add(time.Hour)}
	k, c := loginKeys(t, l)
	if c.StandIn == first || !strings.HasPrefix(c.StandIn, "sk-ant-oat01-") {
		t.Fatalf("stand-in %q", c.StandIn)
	}
	v, h := send(t, k, c.StandIn)
	if v.Refuse != "" || h.Get("Authorization") != "Bearer "+first || !v.Renewable() {
		t.Fatalf("%+v %v", v, h)
	}
	if v.Renew(t.Context(), h) { // the owner has no other
		t.Error("renewed with the same")
	}
	l.token = second
	if !v.Renew(t.Context(), h) || h.Get("Authorization") != "Bearer "+second {
		t.Errorf("%v", h)
	}
	if last := l.stale[len(l.stale)-1]; last != HashToken([]byte(first)) {
		t.Errorf("asked with %q", last)
	}
	if got := k.Clean(first + " " + second); strings.Contains(got, "Token") {
		t.Errorf("not taken out: %s", got)
	}
}

// A token that has expired is not sent when its owner has no other; one that is good is,
// whatever the owner says.
func TestLoginExpired(t *testing.T) {
	l := &aLogin{token: "sk-ant-oat01-TheTokenOfTheLogin0000", expires: time.Now().Add(time.Hour)}
	k, c := loginKeys(t, l)
	l.err = errors.New("the keeper is gone")
	e := k.entries[0]
	e.src.looked = time.Time{} // long ago
	if v, h := send(t, k, c.StandIn); v.Refuse != "" || !strings.Contains(h.Get("Authorization"), l.token) {
		t.Errorf("%+v", v)
	}
	e.src.looked, e.src.expires = time.Time{}, time.Now().Add(-time.Second)
	v, h := send(t, k, c.StandIn)
	if v.Status != http.StatusServiceUnavailable || strings.Contains(h.Get("Authorization"), l.token) {
		t.Errorf("%+v %v", v, h)
	}
	if m := k.Missing(); len(m) != 1 || !m[0].Asked || !strings.Contains(m[0].Why, "the keeper is gone") {
		t.Errorf("%+v", m)
	}
	l.err = nil // it works again at once
	e.src.looked, e.src.expires = time.Time{}, time.Time{}
	if v, _ := send(t, k, c.StandIn); v.Refuse != "" {
		t.Errorf("%+v", v)
	}
}
