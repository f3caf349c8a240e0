package policy

import (
	"slices"

	"github.com/belljar-dev/belljar"
)

// defaultPass are the variables of the caller that every sandbox gets: how to talk
// to the user, nothing else.
func defaultPass() []string {
	return []string{
		"TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "TZ", "LANG", "LANGUAGE", "LC_ALL", "LC_ADDRESS", "LC_COLLATE", "LC_CTYPE",
		"LC_IDENTIFICATION", "LC_MEASUREMENT", "LC_MESSAGES", "LC_MONETARY", "LC_NAME", "LC_NUMERIC", "LC_PAPER", "LC_TELEPHONE", "LC_TIME",
	}
}

// ToolVariables name the place of a tool. Each passes from the caller when that
// place is visible inside, whatever a policy says. Each call makes a new list.
func ToolVariables() []string {
	return []string{
		"PYENV_ROOT", "RBENV_ROOT", "NODENV_ROOT", "ASDF_DIR", "ASDF_DATA_DIR", "VOLTA_HOME", "RUSTUP_HOME", "GOROOT",
		"JAVA_HOME", "JDK_HOME", "MAVEN_HOME", "M2_HOME", "GRADLE_HOME", "CONDA_PREFIX", "VIRTUAL_ENV", "DOTNET_ROOT",
		"NODE_PATH", "KOTLIN_HOME", "SCALA_HOME", "FLUTTER_ROOT", "ANDROID_HOME", "ANDROID_SDK_ROOT",
	}
}

// CertVariables name certificates that the caller's programs trust beside the
// system's, such as a company's. Each passes when it names certificates: they are
// visible inside, or carried there without anything else that the file holds. Each
// call makes a new list.
func CertVariables() []string {
	return []string{
		"NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH",
		"PIP_CERT", "AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO", "DENO_CERT", "NIX_SSL_CERT_FILE",
	}
}

// neverPassed lead to the host, or are made anew for the sandbox. A policy may set
// them to a value of its own.
func neverPassed() []string {
	return []string{
		"HOME", "PATH", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD",
		"TMPDIR", "TMP", "TEMP", "SSH_AUTH_SOCK", "SSH_AGENT_PID", "SSH_ASKPASS", "GPG_AGENT_INFO", "DBUS_SESSION_BUS_ADDRESS",
		"DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "DOCKER_HOST", "TMUX", "STY",
		"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "FTP_PROXY",
		"http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy",
	}
}

// NeverPassed says whether no layer may pass the variable from the caller: it leads
// to the host, or the sandbox has its own.
func NeverPassed(name string) bool { return slices.Contains(neverPassed(), name) }

// EnvOrigin says who passes or sets a variable; false when no layer does.
func (p *Policy) EnvOrigin(name string) (belljar.Origin, bool) {
	if v, ok := p.state.set[name]; ok {
		return v.origin(), true
	}
	for _, i := range p.state.pass {
		if i.value == name {
			return i.origin(), true
		}
	}
	return belljar.Origin{}, false
}
