package plan

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
)

// envAlways are the caller's variables that pass whatever the policy says: they
// say how to write text and nothing else.
var envAlways = []string{"TERM", "COLORTERM", "LANG", "LANGUAGE", "LC_*", "TZ", "NO_COLOR", "FORCE_COLOR"}

// envTools are variables that name the place of a tool. Each passes when that
// place is visible inside.
var envTools = []string{
	"PYENV_ROOT", "RBENV_ROOT", "NODENV_ROOT", "ASDF_DIR", "ASDF_DATA_DIR", "VOLTA_HOME", "RUSTUP_HOME", "GOROOT",
	"JAVA_HOME", "JDK_HOME", "MAVEN_HOME", "M2_HOME", "GRADLE_HOME", "CONDA_PREFIX", "VIRTUAL_ENV", "DOTNET_ROOT",
	"NODE_PATH", "KOTLIN_HOME", "SCALA_HOME", "FLUTTER_ROOT", "ANDROID_HOME", "ANDROID_SDK_ROOT",
}

// envNever are variables that no rule passes from the caller: they lead to the
// host, or change what programs load. A policy may still set them to a value of its own.
var envNever = []string{
	"TMPDIR", "TMP", "TEMP", "SSH_AUTH_SOCK", "SSH_AGENT_PID", "SSH_ASKPASS", "GPG_AGENT_INFO", "DBUS_SESSION_BUS_ADDRESS",
	"DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "DOCKER_HOST", "TMUX", "STY",
	"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "FTP_PROXY",
	"http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy",
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
		m.p.Env = append(m.p.Env, k+"="+env[k])
	}
}

func (m *maker) environment() map[string]string {
	caller := envMap(m.f.Env)
	env := map[string]string{}
	for _, name := range slices.Concat(envAlways, m.w.envPass) {
		passVariable(env, caller, name)
	}
	for _, name := range envTools {
		if v, ok := caller[name]; ok && filepath.IsAbs(v) && m.t.covered(filepath.Clean(v)) {
			env[name] = v
		}
	}
	for _, name := range envNever {
		delete(env, name)
	}
	id := m.p.Identity
	env["HOME"], env["USER"], env["LOGNAME"], env["SHELL"] = id.Home, id.User, id.User, id.Shell
	env["PATH"] = m.path()
	// One cache folder is kept per project; these two tools keep theirs elsewhere.
	env["npm_config_cache"] = filepath.Join(id.Home, ".cache", "npm")
	env["GOMODCACHE"] = filepath.Join(id.Home, ".cache", "go-mod")
	for _, r := range m.f.Registries {
		if m.asked(r.Kind) {
			for k, v := range r.Env {
				env[k] = v
			}
		}
	}
	for k, v := range m.w.envSet {
		env[k] = v
	}
	// A file of the project cannot undo what comes by the environment: without
	// these git would read every file again and refuse a project of another uid.
	env["GIT_CONFIG_COUNT"] = "2"
	env["GIT_CONFIG_KEY_0"], env["GIT_CONFIG_VALUE_0"] = "core.checkStat", "minimal"
	env["GIT_CONFIG_KEY_1"], env["GIT_CONFIG_VALUE_1"] = "safe.directory", "*"
	for k, v := range env {
		if strings.ContainsAny(k, "=\x00") || k == "" || strings.Contains(v, "\x00") {
			delete(env, k)
		}
	}
	return env
}

// passVariable copies one variable, or all that begin with NAME for "NAME*".
func passVariable(env, caller map[string]string, name string) {
	prefix, many := strings.CutSuffix(name, "*")
	if !many {
		if v, ok := caller[name]; ok {
			env[name] = v
		}
		return
	}
	for k, v := range caller {
		if prefix != "" && strings.HasPrefix(k, prefix) {
			env[k] = v
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
