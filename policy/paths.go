package policy

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// paths knows the places of the user that a policy's paths are judged against.
type paths struct {
	home      string
	cwd       string
	workspace string
	homes     []string // HOME by name and by what its links lead to
	works     []string // the workspace likewise
	dirs      []string // belljar's own folders likewise
	caches    []string // absolute paths of what the host's tools keep or obey
	tiers     []string
	wide      bool // the paths only limit others and are not mounted: nothing is refused
}

func newPaths(o *LoadOptions) *paths {
	p := &paths{home: clean(o.Home), cwd: clean(o.Dir), workspace: clean(o.Workspace), tiers: o.Tiers}
	p.homes, p.works = both(p.home), both(p.workspace)
	for _, d := range o.Dirs {
		p.dirs = append(p.dirs, both(clean(d))...)
	}
	p.caches = obeyed(p.home, o.Env)
	return p
}

// clean is filepath.Clean that leaves "" empty.
func clean(s string) string {
	if s == "" {
		return ""
	}
	return filepath.Clean(s)
}

// both are the names by which an absolute path is known; empty: none.
func both(abs string) []string {
	if abs == "" {
		return nil
	}
	if r := real(abs); r != abs {
		return []string{abs, r}
	}
	return []string{abs}
}

// resolve makes a path of a policy absolute and clean, and refuses what no policy
// may name. dir is the folder that relative paths are below; empty: there is none.
func (p *paths) resolve(s, dir string, write bool) (abs, suggestion string, err error) {
	switch {
	case s == "":
		return "", "", errors.New("the path is empty")
	case len(s) > 4096:
		return "", "", errors.New("the path has more than 4096 bytes")
	case strings.ContainsAny(s, "\x00\n"):
		return "", "", errors.New("the path contains a control character")
	case strings.ContainsAny(s, "*?"):
		return "", "a folder stands for everything in it", fmt.Errorf("%q is a pattern: here stands one path", s)
	case strings.HasPrefix(s, "$"):
		return "", "write ~/… for a path below HOME", fmt.Errorf("%q: variables are not expanded", s)
	case s == "~" || strings.HasPrefix(s, "~/"):
		if p.home == "" {
			return "", "", fmt.Errorf("%q: HOME is not known", s)
		}
		abs = filepath.Join(p.home, s[1:])
	case strings.HasPrefix(s, "~"):
		return "", "", fmt.Errorf("%q: homes of other users have no name here", s)
	case filepath.IsAbs(s):
		abs = filepath.Clean(s)
	case dir == "":
		return "", "write it with / or ~/ in front", fmt.Errorf("%q is relative, but this layer belongs to no folder", s)
	default:
		abs = filepath.Join(dir, s)
	}
	if p.wide {
		return abs, "", nil
	}
	return abs, "", p.judge(abs, write)
}

// judge refuses an absolute path by its name and by what its links lead to. The
// plan, which mounts it, judges the real path once more.
func (p *paths) judge(abs string, write bool) error {
	for _, name := range both(abs) {
		if err := p.judgeName(name, write); err != nil {
			if name != abs {
				return fmt.Errorf("%s, where it leads: %w", name, err)
			}
			return err
		}
	}
	return nil
}

// judgeName refuses one name of a path.
func (p *paths) judgeName(abs string, write bool) error {
	if abs == "/" {
		return errors.New("the root of the file system cannot be shared")
	}
	for _, h := range p.homes {
		if within(h, abs) {
			return fmt.Errorf("%s is or contains HOME, which cannot be shared as a whole: name the folders below it", abs)
		}
	}
	for _, d := range p.dirs {
		if within(abs, d) || within(d, abs) {
			return fmt.Errorf("%s is, contains or lies in belljar's own folder %s", abs, d)
		}
	}
	for _, d := range []string{"/proc", "/sys", "/dev", "/run", "/var/run"} {
		if within(abs, d) || within(d, abs) {
			return fmt.Errorf("%s is of the host's kernel and control sockets, which are never shared", abs)
		}
	}
	for _, d := range []string{"/tmp", "/tmp/.X11-unix", "/tmp/.ICE-unix"} {
		if within(d, abs) || d != "/tmp" && within(abs, d) {
			return fmt.Errorf("%s holds sockets of the host's programs: every sandbox has a /tmp of its own", abs)
		}
	}
	for _, w := range p.works {
		if within(abs, w) || within(w, abs) {
			return fmt.Errorf("%s is, contains or lies in the workspace, which is served by its own rules (hide, hold, mode)", abs)
		}
	}
	if !write {
		return nil
	}
	for _, c := range p.caches {
		if within(abs, c) || within(c, abs) {
			return fmt.Errorf("%s is, contains or lies in %s, which tools of the host execute or obey later: what is written there runs outside the sandbox. "+
				"Each project has caches of its own inside", abs, c)
		}
	}
	return nil
}

// tier says whether a name can be a tier's, and what was probably meant.
func (p *paths) tier(s string) (suggestion string, ok bool) {
	if s == tierAuto {
		return "", true
	}
	if len(p.tiers) == 0 {
		return "", validTier(s)
	}
	if slices.Contains(p.tiers, s) {
		return "", true
	}
	known := append([]string{tierAuto}, p.tiers...)
	if c := nearest(s, known); c != "" {
		return fmt.Sprintf("did you mean %q?", c), false
	}
	return "tiers are " + strings.Join(known, ", "), false
}

// within says whether a is b or lies in it; both are absolute and clean.
func within(a, b string) bool {
	return a == b || b == "/" || strings.HasPrefix(a, b+"/")
}

// real follows the links of the part of a path that exists.
func real(abs string) string {
	rest := ""
	for dir := abs; ; dir = filepath.Dir(dir) {
		if r, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(r, rest)
		}
		if dir == "/" || dir == "." {
			return abs
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
}

// obeyed lists what the user's tools execute or obey later without being told:
// build and package caches, tool installations, shell and agent settings. A write
// below one of them leaves the sandbox.
func obeyed(home string, env func(string) (string, bool)) []string {
	var l []string
	if home != "" {
		for _, s := range obeyedBelowHome() {
			l = append(l, filepath.Join(home, s))
		}
	}
	if env == nil {
		return l
	}
	for _, name := range []string{
		"GOCACHE", "GOMODCACHE", "GOBIN", "CARGO_HOME", "RUSTUP_HOME", "npm_config_cache", "NPM_CONFIG_CACHE", "PNPM_HOME",
		"YARN_CACHE_FOLDER", "PIP_CACHE_DIR", "UV_CACHE_DIR", "GRADLE_USER_HOME", "MAVEN_USER_HOME", "CCACHE_DIR", "NVM_DIR", "PYENV_ROOT",
		"BUN_INSTALL", "DENO_DIR", "COMPOSER_HOME", "NUGET_PACKAGES", "XDG_CACHE_HOME", "GNUPGHOME",
		"OP_CONFIG_DIR", "GH_CONFIG_DIR", "PASSWORD_STORE_DIR", "VAULT_CONFIG_PATH", "BITWARDENCLI_APPDATA_DIR", "CLOUDSDK_CONFIG", "AZURE_CONFIG_DIR",
		"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "LPASS_HOME",
	} {
		if v, ok := env(name); ok && filepath.IsAbs(v) && filepath.Clean(v) != "/" {
			l = append(l, filepath.Clean(v))
		}
	}
	if v, ok := env("GOPATH"); ok {
		for _, dir := range filepath.SplitList(v) {
			if filepath.IsAbs(dir) {
				l = append(l, filepath.Join(dir, "pkg"), filepath.Join(dir, "bin"))
			}
		}
	}
	return l
}

func obeyedBelowHome() []string {
	return []string{
		// build and package caches
		".cache/go-build", "go/pkg", ".npm", ".cache/npm", ".cargo", ".rustup", ".m2", ".gradle", ".ivy2", ".sbt", ".cache/coursier",
		".cache/pip", ".cache/uv", ".cache/pypoetry", ".cache/pre-commit", ".cache/yarn", ".yarn", ".yarn-cache", ".cache/pnpm", ".local/share/pnpm",
		".pnpm-store", ".bun", ".cache/deno", ".deno", ".nuget", ".gem", ".bundle", ".cache/composer", ".composer", ".ccache", ".cache/ccache",
		".cache/bazel", ".cache/node-gyp", ".cache/node", ".cache/ms-playwright", ".cache/puppeteer", ".cache/electron", ".cache/zig", ".konan",
		".pub-cache", ".hex", ".mix", ".cabal", ".ghcup", ".stack", ".opam", ".conan", ".conan2", ".terraform.d", ".cpan", ".cpanm",
		// installed tools
		"bin", "go/bin", ".local/bin", ".local/lib", ".local/pipx", ".local/share/pipx", ".nvm", ".pyenv", ".rbenv", ".asdf", ".sdkman", ".volta",
		".local/share/mise", ".local/share/uv", ".local/share/applications", ".npm-global", ".linuxbrew", ".nix-profile",
		// what shells, git, ssh, editors, desktops and agents obey
		".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".profile", ".zshrc", ".zshenv", ".zprofile", ".zlogin", ".zlogout",
		".inputrc", ".xprofile", ".xinitrc", ".xsessionrc", ".pam_environment", ".config/fish", ".oh-my-zsh", ".gitconfig", ".config/git", ".git-templates",
		".ssh", ".gnupg", ".config/autostart", ".config/systemd", ".config/environment.d", ".local/share/systemd", ".vim", ".vimrc", ".config/nvim",
		".emacs", ".emacs.d", ".config/emacs", ".vscode", ".vscode-server", ".config/Code", ".cursor", ".config/direnv", ".tmux.conf", ".config/tmux",
		".claude", ".claude.json", ".codex", ".gemini", ".config/opencode", ".npmrc", ".yarnrc", ".yarnrc.yml", ".config/pip", ".config/pnpm", ".config/uv",
		".config/go", ".docker", ".kube", ".aws", ".config/gcloud", ".azure", ".mozilla", ".config/google-chrome", ".config/chromium",
		// what programs obey by which credentials are read: op, gh, pass, vault, bw, secret-tool, security, lpass, keepassxc-cli, sops, doppler, infisical
		".op", ".config/op", ".config/1Password", ".config/gh", ".local/share/gh", ".password-store", ".vault", ".vault-token", ".config/Bitwarden CLI",
		".local/share/keyrings", "Library/Keychains", ".config/lpass", ".local/share/lpass", ".lpass", ".config/keepassxc", ".config/sops", ".doppler", ".infisical",
	}
}
