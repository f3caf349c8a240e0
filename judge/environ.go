package judge

import (
	"slices"
	"strings"
	"sync"

	"github.com/belljar-dev/belljar/judge/internal/shell"
	"github.com/belljar-dev/belljar/judge/internal/table"
)

// A variable is an entry of the table of variables that change what programs do.
type variable struct {
	names   []string // a star stands for any text
	verdict Verdict
	kind    string // how the value is judged
	why     string
}

// Kinds of values.
const (
	kindPlain  = ""       // the verdict, whatever the value
	kindLine   = "line"   // a shell line that is run; the verdict at least
	kindPrompt = "prompt" // text that the shell expands
	kindNode   = "node"   // options of node
	kindGo     = "go"     // options of go
	kindSource = "source" // a file of the project, or off
	kindFolder = "folder" // a folder that is written
	kindTool   = "tool"   // a program, harmless where it is a bare word that no rule denies
)

// variables is the table. The first entry that has the name decides.
func variables() []variable {
	return []variable{
		{[]string{"CARGO_TERM_*", "CARGO_INCREMENTAL", "CARGO_TARGET_DIR", "NODE_ENV", "RUST_LOG", "RUST_BACKTRACE", "CGO_ENABLED", "npm_config_loglevel", "DISPLAY_PATH"}, Allow, kindPlain, ""},
		{[]string{"LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "LD_*", "DYLD_*", "GCONV_PATH", "GLIBC_TUNABLES", "OPENSSL_CONF", "OPENSSL_ENGINES", "OPENSSL_MODULES", "LOCPATH", "NLSPATH", "HOSTALIASES"}, Deny, kindPlain, "loads code into every program"},
		{[]string{"BASH_ENV", "ENV", "PROMPT_COMMAND", "BASH_FUNC_*", "SHELLOPTS", "BASHOPTS", "BASH_LOADABLES_PATH", "ZDOTDIR", "INPUTRC"}, Deny, kindPlain, "is run by shells when they start or prompt"},
		{[]string{"BASH_ALIASES", "BASH_CMDS"}, Ask, kindLine, "changes what a command is"},
		{[]string{"GOWORK"}, Ask, kindSource, "names what a build takes in"},
		{[]string{"GOTMPDIR", "TMPDIR"}, Ask, kindFolder, "names a folder that is written"},
		{[]string{"MAKE", "RM", "INSTALL", "PYTHON", "PYTHON3", "NODE", "NPM", "GO", "CARGO", "DOCKER", "YACC", "LEX", "BASH", "SH", "PERL", "RUBY", "JAVA", "GIT", "CURL", "PROTOC", "CMAKE", "NM", "RANLIB", "STRIP", "OBJCOPY", "OBJDUMP", "WINDRES", "LLVM_CONFIG", "GCCGO", "PYO3_PYTHON"}, Ask, kindTool, "names a program that a build runs"},
		{[]string{"CC_*", "CXX_*", "AR_*", "HOST_CC", "HOST_CXX", "TARGET_CC", "TARGET_CXX", "TARGET_AR", "BUILD_CC"}, Ask, kindLine, "names a program that a build runs"},
		{[]string{"GIT_SSH_COMMAND", "GIT_SSH", "GIT_EXTERNAL_DIFF", "GIT_PROXY_COMMAND", "GIT_ASKPASS", "SSH_ASKPASS", "SUDO_ASKPASS", "GIT_EXEC_PATH", "GIT_TEMPLATE_DIR"}, Deny, kindPlain, "names a program that git runs"},
		{[]string{"GIT_PAGER", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR"}, Deny, "pager", "names a program that git runs"},
		{[]string{"GIT_CONFIG", "GIT_CONFIG_*", "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_INDEX_FILE", "GIT_ATTR_SOURCE", "GIT_ALLOW_PROTOCOL", "GIT_TRACE*", "GIT_REDIRECT_*", "GIT_SHELL_PATH"}, Ask, kindPlain, "gives git another configuration or repository"},
		{[]string{"PERL5OPT", "PERL5DB", "PERL5LIB", "PERLLIB", "PYTHONSTARTUP", "RUBYOPT", "RUBYLIB", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_*_RUNNER", "CARGO_*_LINKER", "NODE_REPL_EXTERNAL_MODULE", "ELECTRON_RUN_AS_NODE", "PYTHONBREAKPOINT", "BUN_PRELOAD", "LUA_INIT", "LUA_INIT_*", "R_PROFILE*", "PHPRC", "PHP_INI_SCAN_DIR", "ERL_FLAGS", "DOTNET_STARTUP_HOOKS", "MAKEFILES"}, Deny, kindPlain, "loads code into an interpreter or compiler"},
		{[]string{"NODE_OPTIONS"}, Deny, kindNode, "loads code into node"},
		{[]string{"PS0", "PS1", "PS2", "PS3", "PS4"}, Ask, kindPrompt, "is expanded by the shell"},
		{[]string{"LESSOPEN", "LESSCLOSE", "PAGER", "MANPAGER", "EDITOR", "VISUAL", "FCEDIT", "BROWSER", "SYSTEMD_PAGER", "AWS_PAGER", "GH_PAGER", "BAT_PAGER", "DELTA_PAGER", "RSYNC_RSH", "CVS_RSH", "SVN_SSH", "RSYNC_CONNECT_PROG", "TAR_*", "GZIP", "ZSTD_CLEVEL", "MAILCAPS", "PSQL_EDITOR", "PSQL_PAGER"}, Ask, kindLine, "names a program that others run"},
		{[]string{"GOFLAGS"}, Ask, kindGo, "adds options to every go command"},
		{[]string{"GOPROXY", "GONOSUMDB", "GONOSUMCHECK", "GONOPROXY", "GOSUMDB", "GOINSECURE", "GOTOOLCHAIN", "GOROOT", "GOPATH", "GOBIN", "GOCACHE", "GOMODCACHE", "GOCOVERDIR", "GOEXE", "GOENV", "GOVCS", "GOAUTH", "GOCACHEPROG", "CC", "CXX", "LD", "AR", "AS", "CPP", "FC", "CGO_*FLAGS*", "PKG_CONFIG", "PKG_CONFIG_PATH", "MAKEFLAGS", "GNUMAKEFLAGS", "MFLAGS", "RUSTFLAGS", "RUSTDOCFLAGS", "RUSTC", "RUSTDOC", "CARGO_*", "CMAKE_*", "LIBRARY_PATH", "CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "COMPILER_PATH", "GCC_EXEC_PREFIX", "RUSTUP_*", "CFLAGS", "CXXFLAGS", "LDFLAGS"}, Ask, kindPlain, "changes what a build runs or fetches"},
		{[]string{"PATH", "IFS", "CDPATH", "GLOBIGNORE", "FPATH", "EXECIGNORE", "HOME", "SHELL", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_DIRS", "HISTFILE", "MAIL*", "POSIXLY_CORRECT"}, Ask, kindPlain, "changes which programs and files are found"},
		{[]string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "no_proxy", "*_PROXY", "*_proxy", "*_BASE_URL", "*_API_BASE", "*_ENDPOINT*", "*_BASE", "*_API_URL", "*_REGISTRY", "*_INDEX_URL", "SSL_CERT_*", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_TLS_REJECT_UNAUTHORIZED", "GIT_SSL_*", "DOCKER_HOST", "KUBECONFIG", "RES_OPTIONS", "LOCALDOMAIN", "AWS_*", "SSLKEYLOGFILE"}, Ask, kindPlain, "re-routes or weakens what goes over the network"},
		{[]string{"MANOPT", "MANROFFOPT", "MANPATH", "GROFF_*", "NODE_V8_COVERAGE", "PYTHONWARNINGS", "PYTHONPYCACHEPREFIX", "COVERAGE_*", "PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONINSPECT", "PYTHONPLATLIBDIR", "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "NODE_PATH", "CLASSPATH", "GEM_PATH", "GEM_HOME", "BUNDLE_*", "LUA_PATH*", "LUA_CPATH*", "npm_config_*", "NPM_CONFIG_*", "PIP_*", "UV_*", "YARN_*", "PNPM_*", "RIPGREP_CONFIG_PATH", "GREP_OPTIONS", "LESS", "LESSKEY*", "JQ_*", "FZF_*", "CURL_HOME", "WGETRC", "NETRC", "VIMINIT", "EXINIT", "MYVIMRC", "TERMINFO*", "TERMCAP", "TEXINPUTS", "AWKPATH", "AWKLIBPATH", "*_OPTS", "*_OPTIONS", "*_ADDOPTS", "*_COMMAND", "*_CMD", "*_PAGER", "*_EDITOR", "*_WRAPPER", "*_PRELOAD", "*_SHELL", "*_PLUGIN*", "*_CONFIG", "*_CONFIG_FILE", "*_CONFIG_PATH", "*_RC"}, Ask, kindPlain, "changes what a program loads or does"},
	}
}

// variableTable is made once and read only.
var variableTable = sync.OnceValue(newVariableIndex)

type variableIndex struct {
	exact map[string]*variable
	globs []struct {
		first, last string
		v           *variable
	}
}

func newVariableIndex() *variableIndex {
	x := &variableIndex{exact: map[string]*variable{}}
	for _, v := range variables() {
		for _, n := range v.names {
			first, last, star := strings.Cut(n, "*")
			if !star {
				if x.exact[n] == nil {
					x.exact[n] = &v
				}
				continue
			}
			last, _, _ = strings.Cut(last, "*")
			x.globs = append(x.globs, struct {
				first, last string
				v           *variable
			}{first, last, &v})
		}
	}
	return x
}

func (x *variableIndex) find(name string) *variable {
	if v := x.exact[name]; v != nil {
		return v
	}
	for _, g := range x.globs {
		if rest, ok := strings.CutPrefix(name, g.first); ok && (strings.HasSuffix(rest, g.last) || g.first != "" && strings.Contains(rest, g.last)) && len(rest) >= len(g.last) {
			return g.v
		}
	}
	return nil
}

// environ judges that a variable gets a value.
func (w *walk) environ(name, text string) {
	v := variableTable().find(name)
	if v == nil || v.verdict == Allow {
		return
	}
	reason := name + " " + v.why
	switch v.kind {
	case kindPrompt:
		if strings.ContainsAny(text, "$`\\") || !shell.Static(text) {
			w.ask(guardEnv, reason)
			w.expandAgain(text)
		}
	case kindLine:
		w.ask(guardEnv, reason)
		w.program(strings.TrimLeft(text, "|-"))
	case "pager":
		if w.harmlessProgram(text) {
			w.ask(guardEnv, reason)
			return
		}
		w.deny(guardEnv, reason)
	case kindNode:
		w.say(nodeOptions(text), guardEnv, reason)
	case kindGo:
		w.goFlags(text, reason)
	case kindSource:
		if text != "" && text != "off" {
			w.within(text, reason)
		}
	case kindFolder:
		w.write(text)
	case kindTool:
		w.tool(text, reason)
	default:
		w.say(v.verdict, guardEnv, reason)
	}
}

// expandAgain judges text that the shell expands once more.
func (w *walk) expandAgain(text string) {
	if shell.Static(text) {
		w.aside(func() { w.line("echo \"" + strings.ReplaceAll(text, `"`, "") + "\"") })
	}
}

// program judges a text that names a program with arguments; what is asked of it has
// been said already.
func (w *walk) program(text string) {
	if strings.TrimSpace(text) != "" && shell.Static(text) {
		w.aside(func() { w.line(text) })
	}
}

// tool judges a text that names the program that a build runs for a step.
func (w *walk) tool(text, reason string) {
	if !shell.Static(text) || strings.ContainsAny(text, "/ \t\n$`;|&<>()") {
		w.ask(guardEnv, reason)
		w.program(text)
		return
	}
	if f := w.judge.decide([]string{text}, []string{text}); f.Verdict == Deny {
		f.Part = w.part
		w.note(f)
	}
}

// harmlessProgram says whether a text names a program without any effect.
func (w *walk) harmlessProgram(text string) bool {
	return slices.Contains([]string{"", "cat", "true", ":", "less", "more", "less -R", "less -FRX"}, text)
}

// nodeOptions is the verdict of options of node.
func nodeOptions(text string) Verdict {
	if !shell.Static(text) {
		return Ask
	}
	verdict := Allow
	for _, o := range strings.Fields(text) {
		name, _, _ := strings.Cut(o, "=")
		switch name {
		case "-r", "--require", "--import", "--loader", "--experimental-loader", "-e", "--eval", "-p", "--env-file", "--inspect", "--inspect-brk", "--openssl-config":
			return Deny
		case "--max-old-space-size", "--max_old_space_size", "--no-warnings", "--trace-warnings", "--enable-source-maps", "--unhandled-rejections", "--no-deprecation", "--throw-deprecation", "--stack-trace-limit", "--experimental-vm-modules", "--trace-deprecation", "--max-semi-space-size", "--openssl-legacy-provider", "--dns-result-order":
		default:
			verdict = Ask
		}
	}
	return verdict
}

// goFlags judges the options that every go command gets.
func (w *walk) goFlags(text, reason string) {
	spec := table.Find("go").Subs["build"]
	u := spec.Read(strings.Fields(text))
	if u.Unknown != "" || len(u.Operands) > 0 || !shell.Static(text) {
		w.ask(guardEnv, reason)
		return
	}
	for _, s := range u.Settings {
		if s.Effect != "flag" && s.Effect != "value" {
			w.ask(guardEnv, reason)
			return
		}
	}
}
