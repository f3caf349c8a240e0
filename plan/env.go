package plan

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/ablate"
	"github.com/belljar-dev/belljar/policy"
)

// A variable is one variable of the environment inside, with what gave it its value.
type variable struct {
	value  string
	passed bool // the caller's value
	origin belljar.Origin
	why    string
}

// commandAndEnv fills in the first command and the environment of every command.
func (m *maker) commandAndEnv() {
	dir := m.f.Dir
	if !under(dir, m.f.Workspace.Dir) {
		dir = m.f.Workspace.Dir
	}
	m.p.Command = belljar.Exec{Path: m.f.Command.Path, Argv: slices.Clone(m.f.Command.Argv), Dir: dir}
	env := m.environment()
	for _, k := range sortedKeys(env) {
		m.p.Env = append(m.p.Env, k+"="+env[k].value)
	}
}

// environment is made in layers: each may replace what the ones before it said.
func (m *maker) environment() map[string]variable {
	env := map[string]variable{}
	if ablate.Off(ablate.Env) {
		for k, v := range envMap(m.f.Env) {
			env[k] = variable{value: v, origin: ours, why: "ablation"}
		}
	}
	m.passed(env)
	m.made(env)
	m.trustEnv(env)
	m.standIns(env)
	m.endpoints(env)
	for k, v := range m.w.envSet {
		env[k] = variable{value: v.value, origin: v.origin, why: "env.set gives it a value"}
	}
	// A file of the project cannot undo what comes by the environment: without
	// these git would read every file again and refuse a project of another uid.
	for k, v := range gitEnv() {
		env[k] = variable{value: v, origin: ours, why: "git inside needs it to work on a project that the host shares"}
	}
	for k, v := range env {
		if strings.ContainsAny(k, "=\x00") || k == "" || strings.Contains(v.value, "\x00") {
			delete(env, k)
		}
	}
	return env
}

// ours is the origin of what no layer says.
var ours = belljar.Origin{Layer: layerDefault}

const layerDefault = "default"

func gitEnv() map[string]string {
	return map[string]string{
		"GIT_CONFIG_COUNT": "2",
		"GIT_CONFIG_KEY_0": "core.checkStat", "GIT_CONFIG_VALUE_0": "minimal",
		"GIT_CONFIG_KEY_1": "safe.directory", "GIT_CONFIG_VALUE_1": "*",
	}
}

// passed are the caller's variables.
func (m *maker) passed(env map[string]variable) {
	caller := envMap(m.f.Env)
	for _, name := range policy.ToolVariables() {
		if v, ok := caller[name]; ok && m.visiblePlace(v) {
			env[name] = variable{v, true, ours, "it names a place of tools that is visible inside"}
		}
	}
	for _, c := range m.f.Certs {
		env[c.Name] = variable{m.certPlace(c), false, ours, "it names certificates that you trust: their place inside"}
	}
	for _, i := range m.w.envPass {
		if v, ok := caller[i.Glob]; ok && !policy.NeverPassed(i.Glob) {
			why := "env.pass names it"
			if i.Origin.Layer == layerDefault {
				why = "it says how to write text, and passes by default"
			}
			env[i.Glob] = variable{v, true, i.Origin, why}
		}
	}
}

// endpoints are the base URLs of models that the gateway answers at; the first of an API.
func (m *maker) endpoints(env map[string]variable) {
	for i := len(m.p.Network.LLM) - 1; i >= 0; i-- {
		l := &m.p.Network.LLM[i]
		if !l.Endpoint {
			continue
		}
		name, end := "ANTHROPIC_BASE_URL", ""
		switch l.API {
		case belljar.LLMOpenAI:
			name, end = "OPENAI_BASE_URL", "/v1"
		case belljar.LLMGemini:
			name = "GOOGLE_GEMINI_BASE_URL"
		}
		env[name] = variable{"http://" + belljar.LLMHost + "/" + string(l.API) + end, false, l.Origin, "an entry of llm has an endpoint"}
	}
}

func (m *maker) visiblePlace(v string) bool {
	return filepath.IsAbs(v) && m.t.covered(filepath.Clean(v))
}

// made are the variables that belljar gives every sandbox.
func (m *maker) made(env map[string]variable) {
	id := m.p.Identity
	set := func(name, value, why string) { env[name] = variable{value: value, origin: ours, why: why} }
	set("HOME", id.Home, "the sandbox's private HOME is at the path of yours")
	set("USER", id.User, "who the sandbox is")
	set("LOGNAME", id.User, "who the sandbox is")
	set("SHELL", id.Shell, "your shell, where the system has it")
	set("PATH", m.path(), "your PATH without the entries that are not visible inside")
	// One cache folder is kept per project; these two tools keep theirs elsewhere.
	set("npm_config_cache", filepath.Join(id.Home, ".cache", "npm"), "npm's cache belongs to the project's caches")
	set("GOMODCACHE", filepath.Join(id.Home, ".cache", "go-mod"), "go's module cache belongs to the project's caches")
	for _, r := range m.f.Registries {
		i := slices.IndexFunc(m.w.registries, func(k belljar.Pattern) bool { return k.Glob == r.Kind })
		if i < 0 {
			continue
		}
		for k, v := range r.Env {
			env[k] = variable{v, false, m.w.registries[i].Origin, "the " + r.Kind + " registry of " + r.From}
		}
	}
}

// path is PATH inside: the caller's, in order, without what is left out.
func (m *maker) path() string {
	var out []string
	for _, e := range m.f.Path {
		if e.Left == "" {
			out = append(out, e.As)
		}
	}
	if len(out) == 0 {
		return "/usr/local/bin:/usr/bin:/bin"
	}
	return strings.Join(out, ":")
}
