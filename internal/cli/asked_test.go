package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/credential"
)

// TestAskedForNoKey: why a request was refused for want of a value is told at the end,
// of what was asked for only.
func TestAskedForNoKey(t *testing.T) {
	source := belljar.CredentialSource{Command: []string{"/bin/sh", "-c", "echo 'not \033[31msigned in' >&2; exit 7"}}
	var creds []belljar.Credential
	for _, name := range []string{"ASKED", "IDLE"} {
		creds = append(creds, belljar.Credential{
			Name: name, From: source, Form: belljar.FormHeader, Header: http.CanonicalHeaderKey("X-" + name), Hosts: []belljar.BoundHost{{Host: "api.acme.dev", Port: 443}},
		})
	}
	creds, keys, err := credential.Make(t.Context(), creds, credential.Host{})
	if err != nil {
		t.Fatal(err)
	}
	keys.Outgoing(t.Context(), &credential.Request{
		Host: "api.acme.dev", Port: 443, Secure: true, Method: "GET", Path: "/", URI: "/", Header: http.Header{"X-Asked": {creds[0].StandIn}},
	})
	_ = keys.Close()
	errout, err := os.Create(filepath.Join(t.TempDir(), "err"))
	if err != nil {
		t.Fatal(err)
	}
	defer errout.Close()
	a := &App{Err: errout}
	a.noteAsked(keys)
	a.noteAsked(nil)
	told, err := os.ReadFile(errout.Name())
	if got := string(told); err != nil || !strings.HasPrefix(got, "belljar: credential ASKED had no value for a request: the command /bin/sh failed: exit status 7: not ") ||
		strings.Count(got, "\n") != 1 || strings.Contains(got, "\x1b") {
		t.Errorf("told %q", got)
	}
}
