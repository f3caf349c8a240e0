package plan

import (
	"os"
	"path/filepath"
	"strings"
)

// maxEtcContent is the size up to which a text file of /etc is copied into the
// plan, where it can be read; a larger one is mounted.
const maxEtcContent = 4 << 10

// etcNames is the allow-list of /etc: what programs need to run, and nothing that
// says who uses this host and how. passwd, group, hosts and their like are made
// by Make; shadow, sudoers, ssh and everything unknown stay out by not being here.
var etcNames = []string{
	"alternatives", "bash.bashrc", "bash_completion", "bindresvport.blacklist", "ca-certificates",
	"ca-certificates.conf", "crypto-policies", "debian_version", "ethertypes", "fedora-release", "fonts",
	"gai.conf", "host.conf", "inputrc", "java", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime",
	"locale.alias", "locale.conf", "lsb-release", "magic", "magic.mime", "mailcap", "maven/m2.conf",
	"maven/logging", "maven/toolchains.xml", "mime.types", "nanorc", "netconfig", "nodejs",
	"os-release", "papersize", "perl", "pki/ca-trust", "pki/java", "pki/tls/cert.pem", "pki/tls/certs",
	"pki/tls/openssl.cnf", "profile", "protocols", "redhat-release", "rpc", "screenrc", "services",
	"shells", "ssl/cert.pem", "ssl/certs", "ssl/ct_log_list.cnf", "ssl/openssl.cnf", "terminfo",
	"timezone", "tmux.conf", "vconsole.conf", "vim", "xdg/user-dirs.defaults", "zsh", "zprofile", "zshrc",
}

// etcPrefixes are names with a version behind them.
var etcPrefixes = []string{"java-", "python3", "ruby"}

// etc collects what of the allow-list exists.
func (w *gatherer) etc() {
	for _, n := range etcNames {
		w.etcFile("/etc/" + n)
	}
	f, err := os.Open("/etc")
	if err != nil {
		return
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	for _, n := range names {
		for _, p := range etcPrefixes {
			if strings.HasPrefix(n, p) {
				w.etcFile("/etc/" + n)
			}
		}
	}
}

func (w *gatherer) etcFile(path string) {
	st, err := os.Lstat(path)
	if err != nil {
		return
	}
	e := EtcFile{Path: path, Real: path}
	if st.Mode()&os.ModeSymlink != 0 {
		text, err := os.Readlink(path)
		if err != nil {
			return
		}
		if e.Real, err = filepath.EvalSymlinks(path); err != nil {
			return
		}
		if underAny(e.Real, systemRoots) {
			e.Link = text
			w.f.Etc = append(w.f.Etc, e)
			return
		}
		if st, err = os.Stat(e.Real); err != nil || underAny(e.Real, etcSecret) {
			return
		}
	}
	switch {
	case st.IsDir():
		e.Dir, e.Bind = true, true
	case !st.Mode().IsRegular():
		return
	default:
		b, err := readSmall(e.Real, maxEtcContent)
		if os.IsPermission(err) {
			return
		}
		if err == nil && plainText(b) {
			e.Content = string(b)
		} else {
			e.Bind = true
		}
	}
	w.f.Etc = append(w.f.Etc, e)
}

// etcSecret are places that a link of the allow-list must not lead to.
var etcSecret = []string{"/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/sudoers.d", "/etc/ssh", "/etc/ssl/private",
	"/root", "/home", "/var/lib", "/proc", "/sys", "/dev", "/run"}

func plainText(b []byte) bool {
	return !strings.ContainsFunc(string(b), func(r rune) bool {
		return r == 0 || r == '\uFFFD' || r < ' ' && r != '\n' && r != '\t' && r != '\r'
	})
}
