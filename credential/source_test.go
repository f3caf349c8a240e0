package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/belljar-dev/belljar"
)

func from(name string, src belljar.CredentialSource) belljar.Credential {
	return belljar.Credential{
		Name: name, From: src, Form: belljar.FormBearer, Header: "Authorization",
		Hosts: []belljar.BoundHost{{Host: "api.example.com", Port: 443}},
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// sends is the value that a request with the stand-in is sent with, or why it is not.
func sends(t *testing.T, k *Keys, c belljar.Credential) string {
	t.Helper()
	h := http.Header{"Authorization": {"Bearer " + c.StandIn}}
	v := k.Outgoing(t.Context(), &Request{Host: "api.example.com", Port: 443, Secure: true, Method: "GET", Path: "/", URI: "/", Header: h})
	if v.Refuse != "" {
		return v.Refuse
	}
	return strings.TrimPrefix(h.Get("Authorization"), "Bearer ")
}

func TestSources(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	project := filepath.Join(dir, "project")
	if err := os.Mkdir(project, 0o700); err != nil {
		t.Fatal(err)
	}
	inside := write(t, filepath.Join(project, "token"), "value-of-the-token", 0o600)
	script := write(t, filepath.Join(project, "tool"), "#!/bin/sh\necho value-of-the-token\n", 0o755)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(inside, link); err != nil {
		t.Fatal(err)
	}
	good := write(t, filepath.Join(dir, "good"), "value-of-the-token\n", 0o600)
	goodLink := filepath.Join(dir, "good-link")
	if err := os.Symlink(good, goodLink); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		src     belljar.CredentialSource
		refused string // Make's error
		missing string // why there is no value
		value   string
	}{
		{name: "variable", src: belljar.CredentialSource{Env: "TOKEN"}, value: "value-of-the-token"},
		{name: "no variable", src: belljar.CredentialSource{Env: "OTHER"}, missing: "the variable OTHER is not set"},
		{name: "empty variable", src: belljar.CredentialSource{Env: "EMPTY"}, missing: "is empty"},
		{name: "variable of two lines", src: belljar.CredentialSource{Env: "LINES"}, refused: "control characters"},
		{name: "variable with a space", src: belljar.CredentialSource{Env: "SPACE"}, refused: "ends with a space"},
		{name: "file", src: belljar.CredentialSource{File: good}, value: "value-of-the-token"},
		{name: "link to a file", src: belljar.CredentialSource{File: goodLink}, value: "value-of-the-token"},
		{name: "file of Windows", src: belljar.CredentialSource{File: write(t, filepath.Join(dir, "crlf"), "value-of-the-token\r\n", 0o600)}, value: "value-of-the-token"},
		{name: "no file", src: belljar.CredentialSource{File: filepath.Join(dir, "none")}, missing: "does not exist"},
		{name: "empty file", src: belljar.CredentialSource{File: write(t, filepath.Join(dir, "empty"), "\n", 0o600)}, missing: "the value is empty"},
		{name: "two newlines", src: belljar.CredentialSource{File: write(t, filepath.Join(dir, "two"), "value\n\n", 0o600)}, refused: "several lines"},
		{name: "large file", src: belljar.CredentialSource{File: write(t, filepath.Join(dir, "large"), strings.Repeat("x", maxFile+1), 0o600)}, refused: "more than 64 KiB"},
		{name: "long value", src: belljar.CredentialSource{File: write(t, filepath.Join(dir, "long"), strings.Repeat("x", maxValue+1), 0o600)}, refused: "fits into no header"},
		{name: "writable by others", src: belljar.CredentialSource{File: write(t, filepath.Join(dir, "open"), "value", 0o622)}, refused: "others may write"},
		{name: "writable by the group", src: belljar.CredentialSource{File: write(t, filepath.Join(dir, "group"), "value", 0o620)}, refused: "others may write"},
		{name: "FIFO", src: belljar.CredentialSource{File: filepath.Join(dir, "fifo")}, refused: "no regular file"},
		{name: "folder", src: belljar.CredentialSource{File: dir}, refused: "no regular file"},
		{name: "in the project", src: belljar.CredentialSource{File: inside}, refused: "lies in the project"},
		{name: "link into the project", src: belljar.CredentialSource{File: link}, refused: "lies in the project"},
		{name: "command", src: belljar.CredentialSource{Command: []string{"sh", "-c", `test "$PWD" = / && echo "$TOKEN"`}}, value: "value-of-the-token"},
		{name: "no shell", src: belljar.CredentialSource{Command: []string{"printf", "%s", "$TOKEN;`id`"}}, value: "$TOKEN;`id`"},
		{name: "command that fails", src: belljar.CredentialSource{Command: []string{"sh", "-c", `printf 'not \033[31msigned in\n' >&2; exit 3`}}, missing: `exit status 3: not \x1b[31msigned in`},
		{name: "command that says nothing", src: belljar.CredentialSource{Command: []string{"true"}}, missing: "the value is empty"},
		{name: "command that says too much", src: belljar.CredentialSource{Command: []string{"head", "-c", "200000", "/dev/zero"}}, refused: "more than 64 KiB"},
		{name: "command that does not end its output", src: belljar.CredentialSource{Command: []string{"yes"}}, refused: "more than 64 KiB"},
		{name: "no command", src: belljar.CredentialSource{Command: []string{"no-such-command-here"}}, missing: "is not on PATH"},
		{name: "command of the project", src: belljar.CredentialSource{Command: []string{script}}, refused: "lies in the project"},
		{name: "command of the project by name", src: belljar.CredentialSource{Command: []string{"tool"}}, refused: "lies in the project"},
		{name: "relative command", src: belljar.CredentialSource{Command: []string{"./tool"}}, refused: "neither an absolute path nor a bare name"},
		{name: "no input", src: belljar.CredentialSource{Command: []string{"sh", "-c", "cat; echo value-of-the-token"}}, value: "value-of-the-token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := []string{"PATH=" + os.Getenv("PATH") + ":" + project, "TOKEN=first", "TOKEN=value-of-the-token", "EMPTY=", "LINES=a\nb", "SPACE=x "}
			made, k, err := Make(t.Context(), []belljar.Credential{from("KEY", tt.src)}, Host{Env: env, Project: project})
			if tt.refused != "" {
				var e *belljar.Error
				if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.refused) || !strings.Contains(err.Error(), "KEY") {
					t.Fatalf("error %v, want %q", err, tt.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			if len(made[0].StandIn) < minRandom {
				t.Errorf("stand-in %q", made[0].StandIn)
			}
			if missing := k.Missing(); (len(missing) == 1) != (tt.missing != "") || len(missing) == 1 && !strings.Contains(missing[0].Why, tt.missing) {
				t.Fatalf("missing: %v, want %q", missing, tt.missing)
			}
			want := tt.value
			if tt.missing != "" { // why is nothing for inside
				want = "api.example.com: KEY has no value now; the person outside sees why"
			}
			if got := sends(t, k, made[0]); got != want {
				t.Errorf("sends %q, want %q", got, want)
			}
		})
	}
}

// TestForeignFile: a file of another user is not a source.
func TestForeignFile(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "f"), "value", 0o600)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	info.Sys().(*syscall.Stat_t).Uid = uint32(os.Geteuid()) + 1
	s := source{host: func() *Host { return &Host{} }}
	if err := s.ours(path, info); err == nil || !strings.Contains(err.Error(), "another user") {
		t.Errorf("error %v", err)
	}
}

// TestLater: a value that appears, changes or goes while the sandbox runs.
func TestLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		made, k, err := Make(t.Context(), []belljar.Credential{from("GITHUB_TOKEN", belljar.CredentialSource{File: path})}, Host{})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		c := made[0]
		if !strings.HasPrefix(c.StandIn, "ghp_") || !k.Missing()[0].Later {
			t.Errorf("stand-in %q, missing %v", c.StandIn, k.Missing())
		}
		write(t, path, "first-value-0123456789", 0o600)
		lacks := func(why string) {
			t.Helper()
			if got := sends(t, k, c); !strings.HasSuffix(got, " has no value now; the person outside sees why") {
				t.Errorf("sends %q", got)
			}
			if m := k.Missing(); len(m) != 1 || !strings.Contains(m[0].Why, why) {
				t.Errorf("missing %v, want %q", m, why)
			}
		}
		lacks("does not exist") // it is not looked at again at once
		time.Sleep(fileAgain)
		if got := sends(t, k, c); got != "first-value-0123456789" {
			t.Errorf("sends %q", got)
		}
		time.Sleep(fileAgain)
		write(t, path, "second-value-0123456789x", 0o600)
		if got := sends(t, k, c); got != "second-value-0123456789x" || len(k.Missing()) > 0 {
			t.Errorf("sends %q, missing %v", got, k.Missing())
		}
		for _, v := range []string{"first-value-0123456789", "second-value-0123456789x"} {
			if got := k.Clean(v); got == v || len(got) != len(v) {
				t.Errorf("%q is cleaned to %q", v, got)
			}
		}
		time.Sleep(fileAgain)
		write(t, path, "third-value", 0o666)
		lacks("others may write")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(fileAgain)
		lacks("does not exist")
	})
}

// TestFormerValues: a value that another one took the place of is searched for, for an
// hour at least, however many there were.
func TestFormerValues(t *testing.T) {
	count := 1
	path := write(t, filepath.Join(t.TempDir(), "token"), "value-1-0123456789", 0o600)
	made, k, err := Make(t.Context(), []belljar.Credential{from("KEY", belljar.CredentialSource{File: path})}, Host{})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	e, now := k.entries[0], time.Now()
	again := func(after time.Duration) {
		now = now.Add(after)
		count++
		write(t, path, fmt.Sprintf("value-%d-0123456789", count), 0o600)
		e.src.file = nil // whatever its time
		if _, err := e.look(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		k.renew()
	}
	for range 9 { // the agent makes answers 401 as often as it can
		again(rejectedAge)
	}
	for n := range 9 {
		v := fmt.Sprintf("value-%d-0123456789", n+1)
		if got := scrubbed(t, k, strings.NewReader(v)); got == v {
			t.Errorf("%s of %s is no longer searched for", v, made[0].Name)
		}
	}
	again(formerAge)
	again(1)
	if len(e.former) != 2 { // those of the last hour
		t.Errorf("%d former values are kept", len(e.former))
	}
	for range formerMost + 2 {
		again(1)
	}
	if len(e.former) != formerMost {
		t.Errorf("%d former values are kept", len(e.former))
	}
}

// TestWhyStaysOutside: what a command says of its failure is told outside only, without
// values that are known, and what it printed nowhere.
func TestWhyStaysOutside(t *testing.T) {
	known := "known-" + testKey
	made, k, err := Make(t.Context(), []belljar.Credential{
		from("KNOWN", belljar.CredentialSource{Env: "KNOWN"}),
		from("KEY", belljar.CredentialSource{Command: []string{"sh", "-c", `echo printed; echo "no session of $KNOWN" >&2; exit 3`}}),
	}, Host{Env: []string{"PATH=" + os.Getenv("PATH"), "KNOWN=" + known}})
	if err != nil {
		t.Fatal(err)
	}
	m := k.Missing()
	if len(m) != 1 || !strings.Contains(m[0].Why, "exit status 3: no session of ") || strings.Contains(m[0].Why, known) || strings.Contains(m[0].Why, "printed") {
		t.Errorf("missing: %v", m)
	}
	v := k.Outgoing(t.Context(), &Request{
		Host: "api.example.com", Port: 443, Secure: true, Method: "GET", Path: "/", URI: "/",
		Header: http.Header{"Authorization": {"Bearer " + made[1].StandIn}},
	})
	if v.Status != http.StatusServiceUnavailable || v.Refuse != "api.example.com: KEY has no value now; the person outside sees why" || v.Fix != "ask for it outside, and try again" {
		t.Errorf("refused %d %q, %q", v.Status, v.Refuse, v.Fix)
	}
	_ = k.Close()
	m[0].Asked = true
	if after := k.Missing(); !slices.Equal(after, m) {
		t.Errorf("after Close: %v, before: %v", after, m)
	}
}

// TestCommandAge: a command runs again when its value is old, or was not accepted.
func TestCommandAge(t *testing.T) {
	count := filepath.Join(t.TempDir(), "count")
	src := source{
		from: belljar.CredentialSource{Command: []string{"sh", "-c", `echo x >> "$COUNT"; test ! -e "$COUNT.fail" && echo value-$(wc -l < "$COUNT")-0123456789`}},
		host: func() *Host { return &Host{Env: []string{"PATH=" + os.Getenv("PATH"), "COUNT=" + count}} },
	}
	now := time.Now()
	look := func(after time.Duration, due bool) {
		t.Helper()
		now = now.Add(after)
		if src.due(now) != due {
			t.Errorf("due %v after %v", !due, after)
		}
		if due {
			_, _ = src.look(t.Context(), now)
		}
	}
	look(0, true)
	look(commandAge-time.Second, false)
	look(time.Second, true)
	if got := src.value.copy(); got != "value-2-0123456789" {
		t.Errorf("value %q", got)
	}
	src.rejected = true
	look(rejectedAge-time.Second, false)
	look(time.Second, true)
	look(rejectedAge, false)
	write(t, count+".fail", "", 0o600)
	look(commandAge, true)
	if src.why == "" || src.value.copy() != "value-3-0123456789" {
		t.Errorf("after a failure: %q, %q", src.why, src.value.copy())
	}
	look(commandAgain-time.Second, false)
	look(time.Second, true)
}

// TestRejected: the upstream's 401 makes the source due, another status does not.
func TestRejected(t *testing.T) {
	keys, creds := keysFor(t, testKey)
	r := &Request{Host: "api.example.com", Port: 443, Secure: true, Method: "GET", Path: "/", URI: "/", Header: http.Header{"Authorization": {"Bearer " + creds[0].StandIn}}}
	v := keys.Outgoing(t.Context(), r)
	_, _ = v.Response(403, http.Header{}, http.NoBody)
	if keys.entries[0].rejected.Load() {
		t.Error("403 counts as refused")
	}
	_, _ = v.Response(401, http.Header{}, http.NoBody)
	if !keys.entries[0].rejected.Load() {
		t.Error("401 is not told")
	}
}

// TestConcurrent: requests, answers and new values at once (for the race detector); a
// command runs once at a time.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	lock := filepath.Join(dir, "lock")
	cmd := belljar.CredentialSource{Command: []string{"sh", "-c", `mkdir "$LOCK" || exit 1; rmdir "$LOCK"; echo value-of-the-token`}}
	made, k, err := Make(t.Context(), []belljar.Credential{from("KEY", cmd)}, Host{Env: []string{"PATH=" + os.Getenv("PATH"), "LOCK=" + lock}})
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 10 {
				k.entries[0].rejected.Store(true)
				k.entries[0].busy <- struct{}{}
				k.entries[0].src.looked = time.Time{}
				<-k.entries[0].busy
				if got := sends(t, k, made[0]); got != "value-of-the-token" {
					t.Errorf("sends %q", got)
				}
				if got := scrubbed(t, k, strings.NewReader("x value-of-the-token y")); strings.Contains(got, "value-of-the-token") {
					t.Errorf("got %q", got)
				}
			}
		})
	}
	wait.Wait()
	_ = k.Close()
	_ = k.Close()
	if got := sends(t, k, made[0]); !strings.Contains(got, "has no value") {
		t.Errorf("after Close: %q", got)
	}
}

// TestKeptStandIn: a sandbox that is started again keeps its stand-ins.
func TestKeptStandIn(t *testing.T) {
	keys, first := keysFor(t, testKey)
	_ = keys.Close()
	second, k, err := Make(t.Context(), first, Host{Env: []string{"KEY0=" + testKey}})
	if err != nil {
		t.Fatal(err)
	}
	if second[0].StandIn != first[0].StandIn || sends(t, k, first[0]) != testKey {
		t.Errorf("stand-in %q, then %q", first[0].StandIn, second[0].StandIn)
	}
	first[0].StandIn = testKey
	if _, _, err := Make(t.Context(), first, Host{Env: []string{"KEY0=" + testKey}}); err == nil || strings.Contains(err.Error(), testKey) {
		t.Errorf("the value as its own stand-in: %v", err)
	}
	first[0].StandIn = "short"
	if _, _, err := Make(t.Context(), first, Host{}); err == nil {
		t.Error("a stand-in of five characters is kept")
	}
}

// TestNothingPrintsAValue: not the keys, a verdict, a request's error, whatever the verb.
func TestNothingPrintsAValue(t *testing.T) {
	keys, creds := keysFor(t, testKey)
	v := keys.Outgoing(t.Context(), &Request{Host: "api.example.com", Port: 443, Secure: true, Method: "GET", Path: "/", URI: "/", Header: http.Header{}})
	s := secretOf([]byte(testKey))
	held := struct{ A, b any }{s, s}
	deep := struct{ s secret }{s}
	for name, x := range map[string]any{
		"keys": keys, "keys by value": reflect.ValueOf(keys).Elem().Interface(), "verdict": *v, "entry": keys.entries[0], "source": &keys.entries[0].src,
		"secret": s, "pointer": &s, "held": held, "deep": deep, "slice": []secret{s}, "map": map[string]secret{"k": s}, "creds": creds, "missing": keys.Missing(),
	} {
		var all strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&all, verb, x)
		}
		js, _ := json.Marshal(x)
		all.Write(js)
		slog.New(slog.NewTextHandler(&all, nil)).Info("x", "value", x)
		slog.New(slog.NewJSONHandler(&all, nil)).Info("x", "value", x)
		text := all.String()
		if how := survives(text, testKey); how != "" || strings.Contains(text, strings.Trim(fmt.Sprint([]byte(testKey)), "[]")) {
			t.Errorf("%s prints the value (%s)", name, how)
		}
	}
	if fmt.Sprint(s) != redacted {
		t.Errorf("a secret prints as %v", s)
	}
}

// TestWiped: what is closed is overwritten.
func TestWiped(t *testing.T) {
	s := secretOf([]byte(testKey))
	b := s.region().b
	s.wipe()
	if strings.Trim(string(b), "\x00") != "" || s.copy() != "" || s.len() != 0 {
		t.Error("a wiped secret holds its value")
	}
	s.wipe()
	keys, _ := keysFor(t, testKey)
	b = keys.entries[0].value.region().b
	_ = keys.Close()
	if strings.Trim(string(b), "\x00") != "" {
		t.Error("closed keys hold a value")
	}
}

// TestGivenUp: a request that is given up does not wait for a command; one for whose
// credential there is a value does not wait either.
func TestGivenUp(t *testing.T) {
	keys, creds := keysFor(t, testKey)
	keys.entries[0].busy <- struct{}{}
	if got := sends(t, keys, creds[0]); got != testKey {
		t.Errorf("while somebody looks: %q", got)
	}
	keys.entries[0].ready = secret{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v := keys.Outgoing(ctx, &Request{Host: "api.example.com", Port: 443, Secure: true, Method: "GET", Path: "/", URI: "/", Header: http.Header{"Authorization": {"Bearer " + creds[0].StandIn}}})
	if v.Status != http.StatusServiceUnavailable {
		t.Errorf("verdict %d %q", v.Status, v.Refuse)
	}
}
