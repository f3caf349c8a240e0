package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// testbed is where `make deps` puts the real agents.
func testbed() string {
	if d := os.Getenv("BELLJAR_TESTBED"); d != "" {
		return d
	}
	return "/opt/belljar-testbed"
}

// agentPath is the folder with the agents' programs; a test that needs them is
// skipped without it, or fails where BELLJAR_REQUIRE says so.
func agentPath(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(testbed(), "node_modules/.bin")
	for _, n := range []string{"claude", "codex", "gemini", "opencode"} {
		if _, err := os.Stat(filepath.Join(dir, n)); err != nil {
			if testenv.Required("agents") {
				t.Fatalf("make deps did not install %s: %v", n, err)
			}
			t.Skipf("no %s: run make deps", n)
		}
	}
	return dir
}

// modelServer starts the scripted model in testdata, which has the commands run one after
// the other, and returns its port.
func modelServer(t *testing.T, commands ...string) string {
	var tools []any
	for _, c := range commands {
		tools = append(tools, map[string]any{"shell": c})
	}
	return scriptedModel(t, tools...)
}

// scriptedModel is modelServer with calls of any tools.
func scriptedModel(t *testing.T, tools ...any) string {
	t.Helper()
	testenv.Need(t, "python3")
	dir := t.TempDir()
	scenario := filepath.Join(dir, "scenario.json")
	var turns []any
	for _, tool := range tools {
		turns = append(turns, map[string]any{"text": "I run it.", "tool": tool})
	}
	b, err := json.Marshal(map[string]any{
		"turns": append(turns, map[string]any{"text": "finished: {{last_result}}"}),
		// Whoever comes without the real key is told 401.
		"credentials": map[string]any{"x-api-key": []string{realKey}, "x-goog-api-key": []string{realKey}, "authorization": []string{"Bearer " + realKey}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(scenario, b, 0o600); err != nil {
		t.Fatal(err)
	}
	ready := filepath.Join(dir, "ready") // the port is the one that the kernel gave
	c := exec.Command("python3", "testdata/scripted_model.py", "--scenario", scenario, "--listen", "127.0.0.1:0", "--log", filepath.Join(dir, "log"), "--ready-file", ready)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(hangs); ; <-tick.C {
		var urls []string
		if b, err := os.ReadFile(ready); err == nil && json.Unmarshal(b, &urls) == nil {
			return urls[0][strings.LastIndexByte(urls[0], ':')+1:]
		}
		if time.Now().After(deadline) {
			_, _ = c.Process.Kill(), c.Wait()
			t.Fatalf("the scripted model is not ready: %s", out.String())
		}
	}
}

// agents are the flags and the command line of each real program, for a model at url.
// Their keys are the caller's, and stay outside.
func agents(url string) map[string][]string {
	at := "=" + strings.TrimPrefix(url, "http://")
	all := map[string][]string{
		"claude": {"--env", "ANTHROPIC_BASE_URL=" + url, "--credential", "ANTHROPIC_API_KEY" + at, "--", "claude", "-p", "go", "--dangerously-skip-permissions"},
		"codex":  {"--credential", "CODEX_API_KEY" + at, "--", "codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "-c", "openai_base_url=\"" + url + "/v1\"", "go"},
	}
	if ownKernel() && os.Getenv("BELLJAR_SOAK") == "" {
		return all // the others take a minute each to start there
	}
	all["gemini"] = []string{"--env", "GOOGLE_GEMINI_BASE_URL=" + url, "--credential", "GEMINI_API_KEY" + at, "--", "sh", "-c",
		`mkdir -p ~/.gemini && echo '{"security":{"auth":{"selectedType":"gemini-api-key"}}}' > ~/.gemini/settings.json && exec gemini -m gemini-2.5-flash -p go --yolo --skip-trust`}
	all["opencode"] = []string{"--credential", "ANTHROPIC_API_KEY" + at, "--", "sh", "-c",
		`mkdir -p ~/.config/opencode && echo '{"provider":{"anthropic":{"options":{"baseURL":"` + url + `/v1"}}}}' > ~/.config/opencode/opencode.json && exec opencode run --auto -m anthropic/claude-sonnet-4-5 go`}
	return all
}

// install puts an agent where npm -g with a prefix below HOME would have it.
func (w *world) install(bin, name string) {
	w.t.Helper()
	dir := filepath.Join(w.home, ".npm-global", "bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(bin, name), filepath.Join(dir, name)); err != nil {
		w.t.Fatal(err)
	}
	for i, e := range w.env {
		if strings.HasPrefix(e, "PATH=") {
			w.env[i] = "PATH=" + dir + ":" + e[5:]
		}
	}
}

// agentProcess is the name of the process that holds an agent's key.
var agentProcess = map[string]string{"claude": "claude", "codex": "codex", "gemini": "node", "opencode": "opencode"}

// TestAgents: the real programs run a scripted command; the change arrives.
func TestAgents(t *testing.T) {
	bin := agentPath(t)
	port := modelServer(t, "uname -r > kernel.txt; env > env.txt; echo from-the-agent > change.txt; cat .env; echo evil > .envrc; python3 look.py "+reversed(realKey)+" > look.txt")
	for name, args := range agents("http://localhost:" + port) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for _, key := range []string{"ANTHROPIC_API_KEY", "CODEX_API_KEY", "GEMINI_API_KEY"} {
				w.env = append(w.env, key+"="+realKey)
			}
			w.host("git", "init", "-q")
			w.write("look.py", looksInside)
			w.install(bin, name)
			ctx, cancel := context.WithTimeout(context.Background(), hangs)
			defer cancel()
			c := w.cmd(ctx, append([]string{"run", "--allow", "localhost:" + port}, args...)...)
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if got := w.read("change.txt"); got != "from-the-agent\n" {
				t.Errorf("change.txt: %q", got)
			}
			if own := strings.Contains(w.read("kernel.txt"), "gvisor"); own != ownKernel() {
				t.Errorf("the kernel inside: %s", w.read("kernel.txt"))
			}
			mustLack(t, "the agent's output", string(out), projectSecret, realKey)
			// The agent itself is among what it can read: its environment, its memory, its files in HOME.
			mustContain(t, "what it looked at", w.read("look.txt"), "looked at files memory processes")
			if !ownKernel() { // which shows nobody's memory but one's own
				mustContain(t, "what it looked at", w.read("look.txt"), "memory of "+agentProcess[name]+"\n")
			}
			mustLack(t, "what it found", w.read("look.txt"), "FOUND")
			mustContain(t, "the agent's output", string(out), "credentials used: ", "_API_KEY to localhost")
			w.nothingHolds(realKey)
			if w.exists(".envrc") {
				t.Error(".envrc landed")
			}
			mustContain(t, "record", w.belljar("log").out, "change.txt", name)
		})
	}
}

// TestAgentFound: a program below HOME is found however it was installed.
func TestAgentFound(t *testing.T) {
	script := "#!/bin/sh\necho I am $0 \"$@\"\n"
	for name, at := range map[string]struct{ file, link, path string }{
		"npm prefix": {".npm-global/lib/node_modules/@anthropic-ai/claude-code/cli.js", ".npm-global/bin/claude", ".npm-global/bin"},
		"nvm":        {".nvm/versions/node/v20.0.0/lib/node_modules/@anthropic-ai/claude-code/cli.js", ".nvm/versions/node/v20.0.0/bin/claude", ".nvm/versions/node/v20.0.0/bin"},
		"local bin":  {".local/share/claude/versions/2.1.0", ".local/bin/claude", ".local/bin"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			file, link := filepath.Join(w.home, at.file), filepath.Join(w.home, at.link)
			w.write(file, script)
			if strings.Contains(at.file, "node_modules") {
				w.write(filepath.Join(filepath.Dir(file), "package.json"), "{}")
			}
			if err := os.Chmod(file, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
				t.Fatal(err)
			}
			rel, err := filepath.Rel(filepath.Dir(link), file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(rel, link); err != nil {
				t.Fatal(err)
			}
			w.env = append(w.env, "PATH="+filepath.Join(w.home, at.path)+":/usr/bin:/bin")
			r := w.belljar("run", "claude", "--x")
			if r.status != 0 || !strings.Contains(r.out, "I am") || !strings.Contains(r.out, "--x") {
				t.Errorf("%d %q %s", r.status, r.out, r.errout)
			}
		})
	}
}
