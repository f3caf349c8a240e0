package e2e

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// agentWorld is a world in which the program of an agent is found, and its keys are the
// caller's.
func agentWorld(t *testing.T, name string) *world {
	t.Helper()
	bin := agentPath(t)
	w := newWorld(t)
	for _, key := range []string{"ANTHROPIC_API_KEY", "CODEX_API_KEY", "GEMINI_API_KEY"} {
		w.env = append(w.env, key+"="+realKey)
	}
	w.host("git", "init", "-q")
	prefix := filepath.Join(w.home, ".npm-global/bin")
	if err := os.MkdirAll(prefix, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(bin, name), filepath.Join(prefix, name)); err != nil {
		t.Fatal(err)
	}
	for i, e := range w.env {
		if strings.HasPrefix(e, "PATH=") {
			w.env[i] = "PATH=" + prefix + ":" + e[5:]
		}
	}
	return w
}

// TestModels: the real programs work where requests to their models are judged; what
// they used is counted, and what the policy does not allow shows as their own error.
func TestModels(t *testing.T) {
	testenv.Need(t, "only-run")
	for _, c := range []struct {
		name, agent string
		tool        map[string]any // that the model calls
		entry       string         // of llm, behind host and api
		more        []string       // of the agent's command line
		said        []string       // by the agent or belljar
		fails       bool
	}{
		{name: "claude counted", agent: "claude", entry: "models: ['claude-*'], tokens: 200k, requests: 20", said: []string{" tokens spent (", "calls of models"}},
		{name: "claude endpoint", agent: "claude", entry: "endpoint: true", said: []string{" tokens spent ("}},
		{name: "claude model", agent: "claude", entry: "models: [other]", said: []string{"the policy does not allow the model claude-"}, fails: true},
		{name: "claude budget", agent: "claude", entry: "tokens: 1000", said: []string{"the budget for models has no room for this call"}, fails: true},
		{
			name: "claude fetch", agent: "claude", entry: "steer: true", tool: map[string]any{"name": "WebSearch", "input": map[string]any{"query": "belljar"}},
			said: []string{"runs at the provider"},
		},
		{name: "codex counted", agent: "codex", entry: "tokens: 500k", said: []string{" tokens spent (", "calls of models"}},
		{name: "codex model", agent: "codex", entry: "models: [other]", said: []string{"the policy does not allow the model "}, fails: true},
		{name: "codex budget", agent: "codex", entry: "tokens: 1000", said: []string{"the budget for models has no room for this call"}, fails: true},
		{name: "codex fetch", agent: "codex", entry: "steer: true", more: []string{"-c", `web_search="live"`, "-c", `model="gpt-5.1"`}, said: []string{"runs at the provider"}, fails: true},
		{name: "gemini counted", agent: "gemini", entry: "models: ['gemini-*'], tokens: 500k", said: []string{" tokens spent (", "calls of models"}},
		{name: "gemini endpoint", agent: "gemini", entry: "endpoint: true", said: []string{" tokens spent ("}},
		{name: "gemini model", agent: "gemini", entry: "models: [other]", said: []string{"the policy does not allow the model gemini-"}, fails: true},
		{name: "opencode counted", agent: "opencode", entry: "models: ['claude-*'], tokens: 500k", said: []string{" tokens spent (", "calls of models"}},
		{name: "opencode model", agent: "opencode", entry: "models: [other]", said: []string{"the policy does not allow the model claude-"}, fails: true},
	} {
		if agents("")[c.agent] == nil {
			continue // too slow in this tier
		}
		t.Run(c.name, func(t *testing.T) {
			w := agentWorld(t, c.agent)
			if c.tool == nil {
				c.tool = map[string]any{"shell": "echo from-the-agent > change.txt"}
			}
			port := scriptedModel(t, c.tool)
			api := map[string]string{"claude": "anthropic", "codex": "openai", "gemini": "gemini", "opencode": "anthropic"}[c.agent]
			w.write("models.yaml", "version: 1\nnetwork: {allow: [\"localhost:"+port+"\"]}\nllm: [{host: \"localhost:"+port+"\", api: "+api+", "+c.entry+"}]\n")
			args := append([]string{"run", "--policy", "models.yaml"}, agents("http://localhost:" + port)[c.agent]...)
			if strings.Contains(c.entry, "endpoint") {
				i := slices.Index(args, "--env")
				args = slices.Delete(args, i, i+2)
			}
			args = append(args[:len(args)-1], append(slices.Clone(c.more), args[len(args)-1])...)
			if c.agent == "claude" {
				args = append(args, "--verbose", "--output-format", "stream-json")
			}
			ctx, cancel := context.WithTimeout(context.Background(), hangs)
			defer cancel()
			began := time.Now()
			out, err := w.cmd(ctx, args...).CombinedOutput()
			t.Log(time.Since(began))
			if (err != nil) != c.fails {
				t.Fatalf("%v\n%s", err, out)
			}
			mustContain(t, "what is printed", string(out), c.said...)
			mustLack(t, "what is printed", string(out), realKey)
			if c.tool["shell"] != nil && w.exists("change.txt") == c.fails {
				t.Errorf("change.txt: %v\n%s", !c.fails, out)
			}
			if !c.fails {
				mustContain(t, "the record", w.belljar("log", "--json").out, `"llm":{"model":"`)
				mustContain(t, "the summary", w.belljar("log", "summary").out, "tokens spent, by model")
			}
		})
	}
}
