package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	loginAccess  = "sk-ant-oat01-REALAccessTokenOfTheLogin0000000000000000"
	loginRefresh = "sk-ant-ort01-REALRefreshTokenOfTheLogin000000000000000"
	loginJSON    = `{"claudeAiOauth":{"accessToken":"` + loginAccess + `","refreshToken":"` + loginRefresh + `","expiresAt":4000000000000,"scopes":["user:inference"],"subscriptionType":"max"}}`
)

// TestLoginStandsIn: which login is inside, and when none is.
func TestLoginStandsIn(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(w.home, ".claude/.credentials.json")
	show := func(line string, flags ...string) result {
		t.Helper()
		args := append([]string{"run", "--preset", "claude"}, flags...)
		return w.belljar(append(args, "--", "sh", "-c", line)...)
	}
	const cat = "cat ~/.claude/.credentials.json; env; true"

	// What newWorld puts there is no login.
	r := show(cat)
	mustContain(t, "errors", r.errout, "the login of claude", "is not used", "no JSON object")
	mustLack(t, "inside", r.out, homeSecret, "claudeAiOauth")

	w.write(file, loginJSON)
	r = show(cat)
	if r.status != 0 {
		t.Fatalf("%d %s", r.status, r.errout)
	}
	mustContain(t, "inside", r.out, `"accessToken": "sk-ant-oat01-`, `"refreshToken": "sk-ant-ort01-`, `"subscriptionType": "max"`)
	mustLack(t, "inside", r.out+r.errout, "REAL", "CLAUDE_LOGIN=")
	mustContain(t, "login", w.belljar("login", "claude").out, "belljar uses the login in "+file)
	// A file that others may write is used neither by a run nor, as it says, by belljar login.
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	mustContain(t, "errors", show("true").errout, "is not used", "others may write the file")
	if r := w.belljar("login", "claude"); r.status == 0 || !strings.Contains(r.errout, "others may write the file "+file+" (chmod 600)") || strings.Contains(r.out, "uses the login") {
		t.Errorf("%d %s%s", r.status, r.out, r.errout)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	mustContain(t, "explain", w.belljar("policy", "explain", "--preset", "claude", "credential", "CLAUDE_LOGIN").out, "the access token of the login of claude")

	// A kept HOME keeps its stand-ins, unless the agent has a login of its own there.
	first := show(cat, "--name", "kept").out
	again := show(cat+"; echo '{\"mine\":1}' > ~/.claude/.credentials.json", "--name", "kept").out
	if line := lineWith(first, "accessToken"); line == "" || line != lineWith(again, "accessToken") {
		t.Errorf("%q, then %q", line, lineWith(again, "accessToken"))
	}
	r = show(cat, "--name", "kept")
	mustContain(t, "errors", r.errout, "has a login of its own")
	mustContain(t, "inside", r.out, `{"mine":1}`)

	// The login must not be readable inside.
	r = show("true", "--read", "~/.claude")
	if r.status == 0 {
		t.Errorf("the folder of the login is visible inside: %s", r.errout)
	}

	// A key comes first.
	w.env = append(w.env, "ANTHROPIC_API_KEY="+realKey)
	r = show(cat)
	mustLack(t, "inside", r.out, "claudeAiOauth", "REAL")
	mustContain(t, "login", w.belljar("login", "claude").errout, "ANTHROPIC_API_KEY is set")

	w.nothingHoldsBut(file, loginRefresh)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if r := w.belljar("login", "claude"); r.status != 125 || !strings.Contains(r.errout, "claude auth login") {
		t.Errorf("%d %s", r.status, r.errout)
	}
	if r := w.belljar("login", "gemini"); r.status != 126 || !strings.Contains(r.errout, "GEMINI_API_KEY") {
		t.Errorf("%d %s", r.status, r.errout)
	}
	if r := w.belljar("login", "nobody"); r.status != 2 {
		t.Errorf("%d %s", r.status, r.errout)
	}
}

func lineWith(text, word string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// nothingHoldsBut is nothingHolds, but for one file.
func (w *world) nothingHoldsBut(file, value string) {
	w.t.Helper()
	b, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(b), value) {
		w.t.Errorf("%s does not hold it: %v", file, err)
	}
	w.write(file, "")
	w.nothingHolds(value)
	w.write(file, string(b))
}
