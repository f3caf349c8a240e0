package e2e

import (
	"strings"
	"testing"
)

// What is asked for is shown, of one sandbox and of all.
func TestLogFilters(t *testing.T) {
	w := newWorld(t)
	w.sh("cp /etc/hostname copied 2>/dev/null || echo x >copied; echo x >.envrc", "--name", "log-one")
	w.trySh("curl -sS -m 5 https://not-allowed.example/ || true", "--name", "log-two")
	log := func(args ...string) string {
		t.Helper()
		r := w.belljar(append([]string{"log"}, args...)...)
		if r.status != 0 {
			t.Fatalf("log %q: %+v", args, r)
		}
		return r.out
	}
	held := log("log-one", "--verdict", "hold")
	mustContain(t, "what waits", held, "hold", ".envrc")
	mustLack(t, "what waits", held, "copied", "pid ")
	mustContain(t, "a file", log("log-one", "--path", "copied"), "pass", "copied")
	mustContain(t, "a program", log("log-one", "--process", "sh"), "exec ", "exit ", " after ")
	if got := log("log-one", "--until", "1h"); got != "" {
		t.Errorf("events of an hour ago: %s", got)
	}
	refused := log("--all", "--since", "7d", "--host", "not-allowed.example")
	mustContain(t, "all sandboxes", refused, "log-two  ", "refuse", "not-allowed.example")
	mustLack(t, "all sandboxes", refused, "log-one  ")
	mustContain(t, "as JSON", log("--all", "--json", "--host", "*.example", "--verdict", "deny"), `{"sandbox":"log-two","record":"`, `"kind":"refuse"`)
	started := log("--all", "--kind", "start", "--since", "10m") // others may have run meanwhile
	if strings.Count(started, "log-one: ") != 1 || strings.Count(started, "log-two: ") != 1 {
		t.Errorf("sandboxes: %s", started)
	}
	for _, args := range [][]string{{"--all", "log-one"}, {"--all", "-f"}, {"--verdict", "x"}, {"--since", "x"}, {"--path", "["}} {
		if r := w.belljar(append([]string{"log"}, args...)...); r.status != 2 {
			t.Errorf("log %q: %+v", args, r)
		}
	}
}
