package place

// Secrets are files whose content is not read.
func Secrets() []string {
	return []string{
		"~/.ssh/**", "~/.aws/**", "~/.config/gh/**", "~/.netrc", "~/.git-credentials", "~/.gnupg/**", "~/.kube/**", "~/.docker/config.json",
		"~/.azure/**", "~/.config/gcloud/**", "~/.npmrc", "~/.pypirc", "~/.cargo/credentials*", "~/.config/git/credentials", "~/.pgpass", "~/.my.cnf",
		"~/.password-store/**", "~/.local/share/keyrings/**", "~/.terraform.d/credentials*", "~/.vault-token", "~/.config/op/**", "~/.config/rclone/**",
		"~/.claude/.credentials.json", "~/.codex/auth.json", "~/.config/github-copilot/**", "~/.mozilla/**", "~/.config/google-chrome/**",
		"/proc/*/environ", "/proc/*/mem", "/proc/kcore", "/etc/shadow*", "/etc/gshadow*", "/etc/sudoers", "/etc/sudoers.d/**", "/root/.ssh/**", "/home/*/.ssh/**",
		"/etc/ssh/ssh_host_*", "/run/secrets/**", "/var/run/secrets/**", "/etc/ssl/private/**", "/dev/mem", "/dev/kmem",
		".env", ".env.*", "id_rsa", "id_ed25519", "id_ecdsa", "id_dsa", ".git-credentials", ".netrc",
	}
}

// Examples are names that look like secrets and hold none.
func Examples() []string {
	return []string{".env.example", ".env.sample", ".env.template", ".env.dist", ".env.*.example", ".env.schema", ".env.defaults"}
}

// Doubtful are files that often hold a secret.
func Doubtful() []string {
	return []string{
		"*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", ".npmrc", ".pypirc", "*-service-account.json", ".htpasswd", "*.kdbx",
		"~/.bash_history", "~/.zsh_history", "~/.python_history", "~/.psql_history", "~/.mysql_history", ".pgpass", ".vault-token", "credentials.json",
	}
}

// Control are files that decide what programs do later: whoever writes them runs code.
func Control() []string {
	return []string{
		"~/.bashrc", "~/.bash_profile", "~/.bash_login", "~/.bash_logout", "~/.bash_aliases", "~/.profile", "~/.zshrc", "~/.zshenv", "~/.zprofile",
		"~/.zlogin", "~/.zlogout", "~/.kshrc", "~/.cshrc", "~/.tcshrc", "~/.login", "~/.inputrc", "~/.config/fish/**", "~/.xprofile", "~/.xinitrc", "~/.xsession",
		"~/.ssh/**", "~/.gitconfig", "~/.config/git/**", "~/.gnupg/**", "~/.aws/**", "~/.npmrc", "~/.pypirc", "~/.netrc", "~/.kube/**", "~/.docker/**",
		"~/.config/autostart/**", "~/.config/systemd/**", "~/.config/environment.d/**", "~/.pam_environment", "~/.vimrc", "~/.vim/**", "~/.config/nvim/**",
		"~/.emacs", "~/.emacs.d/**", "~/.tmux.conf", "~/.screenrc", "~/.lesskey", "~/.lessfilter", "~/.wgetrc", "~/.curlrc", "~/.pythonrc", "~/.irbrc", "~/.cargo/config*", "~/.cargo/bin/**", "~/.config/pip/**", "~/.pip/**",
		"~/.local/bin/**", "~/bin/**", "~/.claude/**", "~/.claude.json", "~/.codex/**", "~/.gemini/**", "~/.config/opencode/**", "~/.config/belljar/**", "~/.belljar/**",
		"~/.config/direnv/**", "~/.gdbinit", "~/.psqlrc", "~/.sqliterc", "~/.selected_editor", "~/.mailcap", "~/.forward", "~/.gitattributes", "~/.local/share/applications/**",
		".git", ".git/hooks/**", ".git/config", ".git/config.worktree", ".git/info/attributes", ".git/modules/**", ".git/worktrees/**", ".git/objects/info/**", ".git/commondir", ".git/gitdir",
		".claude/**", ".belljar/**", "belljar.yaml", ".mcp.json", ".vscode/**", ".idea/**", ".cursor/**", ".codex/**", ".gemini/**", ".opencode/**", "opencode.json", ".zed/**", ".fleet/**",
		".envrc", ".husky/**", ".gitmodules", ".bashrc", ".bash_profile", ".profile", ".zshrc", ".zshenv", ".gitconfig", ".vimrc", ".exrc", ".nvimrc", ".nvim.lua", ".gdbinit", ".lldbinit", ".inputrc", ".wgetrc", ".curlrc", ".devcontainer/**", "crontab",
	}
}

// System are folders of the machine; what lies in a writable folder is not meant.
func System() []string {
	return []string{"/etc/**", "/usr/**", "/bin/**", "/sbin/**", "/lib/**", "/lib64/**", "/boot/**", "/var/spool/cron/**", "/opt/**", "/root/**", "/sys/**", "/proc/**"}
}

// Held are files of a git directory that git itself writes.
func Held() []string { return []string{".git/**", ".hg/**", ".svn/**"} }

// Harmless are devices that may be written.
func Harmless() []string {
	return []string{
		"/dev/null", "/dev/zero", "/dev/full", "/dev/stdout", "/dev/stderr", "/dev/stdin", "/dev/tty", "/dev/fd/*", "/dev/ptmx", "/dev/shm/**",
		"/dev/random", "/dev/urandom", "/proc/self/fd/1", "/proc/self/fd/2", "/proc/self/comm", "/proc/self/oom_score_adj",
	}
}

// Devices are raw devices.
func Devices() []string { return []string{"/dev/**"} }
