package verify

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
)

// The layers that are the same in every tier, as rows name them.
const (
	layerHome     = "plan: private HOME"
	layerMounts   = "plan: only named mounts"
	layerEtc      = "plan: allow-list of /etc"
	layerEnv      = "plan: allow-list of the environment"
	layerHide     = "view: hidden names"
	layerHold     = "view: held names"
	layerLinks    = "view: links"
	layerReview   = "view: review"
	layerDecide   = "gateway: decision"
	layerGuard    = "gateway: address guard"
	layerTarget   = "gateway: SNI and Host check"
	layerSockets  = "view: sockets and pipes"
	layerFilter   = "terminal: filter"
	layerLimits   = "limit: watcher"
	layerDisk     = "view: disk limit"
	layerStandIns = "credential: stand-ins"
	layerPlaces   = "credential: places"
	layerAnswers  = "credential: search of answers"
)

func secrets(names ...string) judgement { return judgement{secret: names} }

// readRows try to read what was not named.
func readRows() []row {
	return []row{
		{id: "reads/ssh-key", name: "read ~/.ssh/id_rsa", layer: layerHome, judge: secrets("home"), do: files("~/.ssh/id_rsa")},
		{id: "reads/cloud", name: "read ~/.aws/credentials, ~/.netrc, ~/.npmrc, kube and docker configuration", layer: layerHome, judge: secrets("home"),
			do: files("~/.aws/credentials", "~/.netrc", "~/.npmrc", "~/.kube/config", "~/.docker/config.json")},
		{id: "reads/agents", name: "read gh's hosts.yml and an agent's credentials", layer: layerHome, judge: secrets("home"),
			do: files("~/.config/gh/hosts.yml", "~/.claude/.credentials.json")},
		{id: "reads/gitconfig", name: "read a token from the user's gitconfig and git credentials", layer: layerHome, judge: secrets("home"),
			sh: "git config --global -l; cat ~/.gitconfig ~/.git-credentials"},
		{id: "reads/history", name: "read shell history and gpg keys", layer: layerHome, judge: secrets("home"),
			do: files("~/.bash_history", "~/.gnupg/private-keys-v1.d/k.key")},
		{id: "reads/sibling", name: "read another project", layer: layerHome, judge: secrets("sibling"),
			do: files("../other/notes.txt", "~/src/other/notes.txt", "/proc/self/cwd/../other/notes.txt")},
		{id: "reads/proc-root", name: "read ~/.ssh/id_rsa through /proc/1/root, /proc/self/root and cwd", layer: layerHome, judge: secrets("home"),
			do: func(a *attacker) (bool, string) {
				k := a.home + "/.ssh/id_rsa"
				return files("/proc/1/root"+k, "/proc/self/root"+k, "/proc/self/cwd/../../.ssh/id_rsa", "/proc/self/task/1/root"+k)(a)
			}},
		{id: "reads/dotenv", name: "read the project's .env", layer: layerHide, judge: secrets("project"),
			do: files(".env", ".env.local", "./deploy/../.env", "/proc/self/cwd/.env")},
		{id: "reads/dotenv-case", name: "read sub/.ENV.production", layer: layerHide, judge: secrets("project"), do: files("sub/.ENV.production", "sub/.env.production")},
		{id: "reads/keys", name: "read *.pem, *.key, .pypirc, a service account and a kube config in the project", layer: layerHide, judge: secrets("project"),
			do: files("deploy/prod.pem", "deploy/id.key", ".pypirc", "app-service-account.json", "x/.kube/config")},
		{id: "reads/grep", name: "search and archive the project for secrets", layer: layerHide, judge: secrets("project"),
			sh: "tar cf - --exclude=repos --exclude=.git . | tr '\\0' '\\n' | grep -a decoy; grep -rs decoy --exclude-dir=repos ."},
		{id: "reads/dotenv-rename", name: "rename, link and copy .env, then read that", layer: layerHide, judge: secrets("project"),
			sh: "ln -s .env l1; cat l1; ln .env l2; cat l2; cp .env l3; cat l3; mv .env.local l4; cat l4"},
		{id: "reads/late-dotenv", name: "read a .env that appears while it runs", layer: layerHide, judge: secrets("late"), do: waitFor("late/.env"), waits: true, early: func(w *world) {
			_ = os.WriteFile(filepath.Join(w.project(), "late/.env"), []byte(w.secrets["late"]), 0o600)
		}},
		{id: "reads/late-rename", name: "read a file that the host renames to a hidden name while it runs", layer: layerHide, judge: secrets("late"),
			do: waitFor("late/moved.pem"), waits: true, early: func(w *world) {
				at := filepath.Join(w.project(), "late")
				_ = os.WriteFile(at+"/.env.tmp", []byte(w.secrets["late"]), 0o600)
				_ = os.Rename(at+"/.env.tmp", at+"/moved.pem")
			}},
		{id: "reads/etc-shadow", name: "read /etc/shadow and the host's ssh keys", layer: layerEtc, judge: secrets("etc"),
			do: files("/etc/shadow", "/etc/ssh/ssh_host_ed25519_key")},
		{id: "reads/other-tmp", name: "read a file in the host's /tmp", layer: layerMounts, judge: secrets("tmp"), do: files("/tmp/host-file")},
		{id: "reads/run", name: "read a file in the host's /run", layer: layerMounts, judge: secrets("run"), do: files("/run/host-file", "/var/run/host-file")},
		{id: "reads/environment", name: "find secrets in the environment", layer: layerEnv, judge: secrets("env"), sh: "env; tr '\\0' '\\n' < /proc/self/environ"},
		{id: "reads/init-environment", name: "read /proc/1/environ and that of every process", layer: layerEnv, judge: secrets("env"),
			sh: "for p in /proc/[0-9]*; do cat $p/environ; done 2>/dev/null | tr '\\0' '\\n'"},
		{id: "reads/descriptor", name: "read a secret that the caller left open", req: belljar.ReqDescriptor, judge: secrets("home"), do: inherited},
		{id: "reads/sys", name: "list devices in /sys", req: belljar.ReqReads, do: func(a *attacker) (bool, string) {
			d, err := os.ReadDir("/sys/devices")
			return len(d) > 0, fmt.Sprintf("%d entries, %v", len(d), err)
		}},
	}
}

// inherited reads every descriptor that is not one of the three.
func inherited(*attacker) (bool, string) {
	var out strings.Builder
	for fd := 3; fd < 64; fd++ {
		at := fmt.Sprintf("/proc/self/fd/%d", fd)
		if fi, err := os.Stat(at); err != nil || !fi.Mode().IsRegular() {
			continue // our own pipes: reading them would wait
		}
		b, err := readSome(at)
		if err == nil {
			fmt.Fprintf(&out, "%d: %s\n", fd, b)
		}
	}
	return out.Len() > 0, out.String()
}

// controlRows try to reach belljar itself.
func controlRows() []row {
	return []row{
		{id: "control/policy", name: "read the user's policy", layer: layerHome, judge: secrets("control"), do: files("~/.config/belljar/policy.yaml")},
		{id: "control/state", name: "read belljar's state", layer: layerHome, judge: secrets("control"), do: files("~/.local/state/belljar/decoy")},
		{id: "control/write-policy", name: "write a policy that allows everything for the next run", layer: layerHome,
			sh: "mkdir -p ~/.config/belljar && echo evil >> ~/.config/belljar/policy.yaml", judge: changed(".config/belljar/policy.yaml", "evil")},
		{id: "control/project-policy", name: "write the project's belljar.yaml", layer: layerHold, sh: "echo 'version: 1' > belljar.yaml",
			judge: exists(projectName + "/belljar.yaml")},
		{id: "control/record", name: "write into belljar's state", layer: layerHome, sh: "mkdir -p ~/.local/state/belljar && echo evil > ~/.local/state/belljar/evil",
			judge: exists(".local/state/belljar/evil")},
	}
}

// exists is a judgement: the path, below HOME of the host, is there.
func exists(rels ...string) judgement {
	return judgement{host: func(w *world) (bool, string) {
		for _, rel := range rels {
			p := rel
			if !filepath.IsAbs(p) {
				p = filepath.Join(w.home, rel)
			}
			if _, err := os.Lstat(p); err == nil {
				return true, p + " is on the host"
			}
		}
		return false, ""
	}}
}

// changed is a judgement: the file of the host contains what was written.
func changed(rel, text string) judgement {
	return judgement{host: func(w *world) (bool, string) {
		p := rel
		if !filepath.IsAbs(p) {
			p = filepath.Join(w.home, rel)
		}
		b, err := os.ReadFile(p)
		if err == nil && strings.Contains(string(b), text) {
			return true, p + " of the host was written"
		}
		return false, ""
	}}
}

// waitFor reads a file as soon as it is there.
func waitFor(rel string) func(*attacker) (bool, string) {
	return func(a *attacker) (bool, string) {
		for range 15 {
			if b, err := readSome(a.path(rel)); err == nil && len(b) > 0 {
				return true, string(b)
			}
			a.pause(100 * time.Millisecond)
		}
		return false, "it never appeared"
	}
}
