package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// payload is a shell line that a hostile agent wants the host to run.
func (w *world) payload() (line, marker string) {
	marker = filepath.Join(filepath.Dir(w.home), "PWNED")
	return "touch " + marker, marker
}

// exercise works in the project as a developer would, and fails when the payload ran.
func (w *world) exercise(what, marker string) {
	w.t.Helper()
	if dir := w.ran(marker); dir != "" {
		w.t.Errorf("%s: the payload ran in %s", what, dir)
	}
}

// ran runs, in every folder of the project that may tell them something, what a
// developer would run, and returns the first folder in which the payload ran, empty
// for none. Errors of the programs do not matter.
func (w *world) ran(marker string) string {
	w.t.Helper()
	found := ""
	lines := []string{
		"git status", "git diff", "git log -1", "git add -A -n", "git stash list", "git branch", "git fetch --dry-run", "git checkout -q .",
		"git -c user.name=x -c user.email=x@x commit -q --allow-empty -m x", "git rebase --continue", "git submodule status", "git gc -q --auto", "git push --dry-run",
	}
	for i, l := range lines {
		lines[i] = "timeout 10 " + l
	}
	inGit := strings.Join(lines[:3], "; ")
	all := strings.Join(lines, "; ") + "; command -v direnv >/dev/null && timeout 10 direnv export bash"
	_ = filepath.WalkDir(w.proj, func(p string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() || strings.Contains(p, "/objects/") || p != w.proj && !mayBegin(p) {
			return nil
		}
		l := all
		if strings.Contains(p, "/.git/") {
			l = inGit
		}
		c := exec.Command("sh", "-c", l)
		c.Dir = p
		c.Env = append(w.env, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*", "GIT_TERMINAL_PROMPT=0", "GIT_EDITOR=true", "GIT_PAGER=cat")
		_ = c.Run() // a broken repository may fail; running the payload may not
		if os.Remove(marker) == nil {
			found = p
			return filepath.SkipAll
		}
		return nil
	})
	return found
}

// mayBegin says whether anything that git or direnv looks for lies in dir itself. In
// every other folder they climb to one above, where they have been tried already.
func mayBegin(dir string) bool {
	entries, _ := os.ReadDir(dir)
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		switch n := strings.ToLower(e.Name()); n {
		case "head", "refs", "objects", "config", "commondir", "gitdir":
			return true
		default:
			return strings.HasPrefix(n, ".git") || strings.HasPrefix(n, ".env")
		}
	})
}

// structural attacks: shell lines with PAYLOAD for the line to run. $H is a hook
// file's content, $C a configuration that runs it.
var structural = map[string]string{
	"hook":                     `printf "$H" > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit`,
	"post-checkout":            `printf "$H" > .git/hooks/post-checkout; chmod +x .git/hooks/post-checkout`,
	"config":                   `printf "$C" >> .git/config`,
	"config by git":            `git config core.fsmonitor 'PAYLOAD'; git config core.hooksPath hooks; mkdir hooks; printf "$H" > hooks/pre-commit; chmod +x hooks/pre-commit`,
	"config.lock":              `cp .git/config .git/config.lock; printf "$C" >> .git/config.lock; mv .git/config.lock .git/config`,
	"config.worktree":          `git config extensions.worktreeConfig true; printf "$C" > .git/config.worktree`,
	"rename .git":              `mv .git .git-x; mkdir -p .git/hooks; cp -r .git-x/* .git/ ; printf "$C" >> .git/config`,
	"rename and back":          `mv .git g; printf "$C" >> g/config; mv g .git`,
	"hooks dir swapped":        `mv .git/hooks .git/h2; mkdir .git/hooks; printf "$H" > .git/hooks/pre-commit; chmod +x .git/hooks/*`,
	"hooks dir prepared":       `mkdir h; printf "$H" > h/pre-commit; chmod +x h/pre-commit; rm -rf .git/hooks; mv h .git/hooks`,
	"hooks symlink":            `mkdir h; printf "$H" > h/pre-commit; chmod +x h/pre-commit; rm -rf .git/hooks; ln -s ../h .git/hooks`,
	"hard link config":         `printf "$C" > c; rm .git/config; ln c .git/config`,
	"upper case":               `mkdir -p .GIT/hooks; printf "$H" > .GIT/hooks/pre-commit; printf "$C" > .Git/config`,
	"commondir":                `mkdir evil; cp -r .git/* evil/; printf "$C" >> evil/config; echo ../evil > .git/commondir`,
	"nested new":               `mkdir sub; cd sub; git init -q; printf "$C" >> .git/config`,
	"nested by hand":           `mkdir -p sub/.git/objects sub/.git/refs; echo ref: refs/heads/x > sub/.git/HEAD; printf "$C" > sub/.git/config`,
	"nested prepared":          `mkdir -p sub/g/objects sub/g/refs; echo ref: refs/heads/x > sub/g/HEAD; printf "$C" > sub/g/config; mv sub/g sub/.git`,
	"git file":                 `mkdir -p x/objects x/refs sub; echo ref: refs/heads/x > x/HEAD; printf "$C" > x/config; echo "gitdir: ../x" > sub/.git`,
	"bare look-alike":          `mkdir -p b/objects b/refs; printf "[core]\n\trepositoryformatversion=0\n\tbare=false\n\tworktree=..\n\tfsmonitor=PAYLOAD\n" > b/config; echo ref: refs/heads/x > b/HEAD`,
	"bare HEAD first":          `mkdir -p b; echo ref: refs/heads/x > b/HEAD; printf "[core]\n\tbare=false\n\tworktree=..\n\tfsmonitor=PAYLOAD\n" > b/config; mkdir b/objects b/refs`,
	"bare HEAD renamed":        `mkdir -p b/objects b/refs; printf "[core]\n\tworktree=..\n\tfsmonitor=PAYLOAD\n" > b/config; echo ref: refs/heads/x > b/H; mv b/H b/HEAD`,
	"bare HEAD link":           `mkdir -p b/objects b/refs; printf "[core]\n\tworktree=..\n\tfsmonitor=PAYLOAD\n" > b/config; echo ref: refs/heads/x > b/H; ln b/H b/HEAD; ln -s H b/HEAD`,
	"bare refs last":           `mkdir -p b/objects; echo ref: refs/heads/x > b/HEAD; printf "[core]\n\tworktree=..\n\tfsmonitor=PAYLOAD\n" > b/config; mkdir b/r; mv b/r b/refs`,
	"bare whole dir moved":     `mkdir -p t/objects t/refs; echo ref: refs/heads/x > t/head1; printf "[core]\n\tworktree=..\n\tfsmonitor=PAYLOAD\n" > t/config; mv t/head1 t/HEAD; mv t b`,
	"git clone bare":           `git -c user.name=x -c user.email=x@x commit -q --allow-empty -m x; git clone -q --bare . b; printf "[core]\n\tbare=false\n\tworktree=..\n\tfsmonitor=PAYLOAD\n" >> b/config; mkdir -p b/hooks; printf "$H" > b/hooks/pre-commit; chmod +x b/hooks/pre-commit`,
	"worktree":                 `git -c user.name=x -c user.email=x@x commit -q --allow-empty -m x; git worktree add -q wt; printf "$C" > .git/worktrees/wt/config.worktree; printf "$C" >> .git/config`,
	"worktree by hand":         `mkdir -p .git/worktrees/e w2; echo ../.. > .git/worktrees/e/commondir; mkdir -p evil/objects evil/refs; printf "$C" > evil/config; echo ../../../evil > .git/worktrees/e/commondir; echo ref: refs/heads/x > .git/worktrees/e/HEAD; echo "gitdir: ../.git/worktrees/e" > w2/.git`,
	"modules by hand":          `mkdir -p .git/modules/m/objects .git/modules/m/refs sub; echo ref: refs/heads/x > .git/modules/m/HEAD; printf "$C" > .git/modules/m/config; echo "gitdir: ../.git/modules/m" > sub/.git`,
	"attributes":               `printf '* filter=e diff=e\n' > .gitattributes; printf '* filter=e diff=e\n' > .git/info/attributes; printf '[filter "e"]\n\tclean=PAYLOAD\n\tsmudge=PAYLOAD\n[diff "e"]\n\ttextconv=PAYLOAD\n\tcommand=PAYLOAD\n' >> .git/config`,
	"alternates":               `mkdir -p o; echo ../../o > .git/objects/info/alternates`,
	"rebase todo":              `mkdir -p .git/rebase-merge; echo 'exec PAYLOAD' > .git/rebase-merge/git-rebase-todo; echo x > .git/rebase-merge/interactive; for f in head-name onto orig-head msgnum end done; do git rev-parse HEAD > .git/rebase-merge/$f 2>/dev/null; done`,
	"include":                  `printf '[include]\n\tpath=../inc\n' >> .git/config; printf "$C" > inc`,
	"gitmodules":               `printf '[submodule "x"]\n\tpath=x\n\turl=ext::PAYLOAD\n\tupdate=!PAYLOAD\n' > .gitmodules`,
	"envrc":                    `echo PAYLOAD > .envrc; mkdir -p d; echo PAYLOAD > d/.envrc; echo PAYLOAD > e; mv e d/.envrc`,
	"HEAD replaced by link":    `rm .git/HEAD; ln -s ../x .git/HEAD`,
	"git removed":              `rm -rf .git; mkdir -p .git/objects .git/refs; echo ref: refs/heads/x > .git/HEAD; printf "$C" > .git/config`,
	"exchange":                 `mkdir -p n/hooks n/objects n/refs; echo ref: refs/heads/x > n/HEAD; printf "$C" > n/config; python3 -c 'import ctypes,os; l=ctypes.CDLL(None); l.renameat2(-100,b"n",-100,b".git",2)'`,
	"race of renames":          `mkdir n; printf "$C" > n/config; (for i in $(seq 60); do mv .git/config .git/c 2>/dev/null; mv n/config .git/config 2>/dev/null; mv .git/c .git/config 2>/dev/null; done) & (for i in $(seq 60); do cp n/config .git/config 2>/dev/null; done) & wait`,
	"merge in the right order": `mkdir .git/x; printf "$H" > .git/x/pre-commit; chmod +x .git/x/pre-commit; rmdir .git/hooks || rm -r .git/hooks; mv .git/x .git/hooks`,
}

func TestStructuralGit(t *testing.T) {
	testenv.Need(t, "git", "direnv", "python3")
	for name, attack := range structural {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.host("git", "init", "-q")
			w.write("f", "1")
			w.host("git", "add", "f")
			w.host("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "one")
			line, marker := w.payload()
			attack = strings.ReplaceAll(attack, "PAYLOAD", line)
			w.trySh(`H='#!/bin/sh\n` + line + `\n'; C='[core]\n\tfsmonitor=` + line + `\n\tpager=` + line + `\n\teditor=` + line + `\n'; ` + attack)
			w.exercise(name, marker)
			if out := w.host("git", "fsck", "--no-dangling"); strings.Contains(out, "error") {
				t.Errorf("the host's repository is damaged: %s", out)
			}
		})
	}
}

// TestStructuralGitControl: the attacks are real: without a sandbox at least half of them run.
func TestStructuralGitControl(t *testing.T) {
	testenv.Need(t, "only-run", "git", "python3")
	var ran atomic.Int32
	t.Run("attacks", func(t *testing.T) {
		for name, attack := range structural {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if runsUnprotected(t, attack) {
					ran.Add(1)
				} else {
					t.Log("does not run by itself here")
				}
			})
		}
	})
	if int(ran.Load()) < len(structural)/2 {
		t.Errorf("only %d of %d attacks work without a sandbox: the test proves little", ran.Load(), len(structural))
	}
}

// runsUnprotected makes the attack without a sandbox, works in the project in the way
// that the attacks behind the sandbox are judged by, and says whether the payload ran.
func runsUnprotected(t *testing.T, attack string) bool {
	w := newWorld(t)
	w.host("git", "init", "-q")
	w.write("f", "1")
	w.host("git", "add", "f")
	w.host("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "one")
	line, marker := w.payload()
	attack = strings.ReplaceAll(attack, "PAYLOAD", line)
	c := exec.Command("sh", "-c", `H='#!/bin/sh\n`+line+`\n'; C='[core]\n\tfsmonitor=`+line+`\n'; `+attack)
	c.Dir, c.Env = w.proj, append(w.env, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
	_ = c.Run() // git may fail in what the attack left
	if os.Remove(marker) == nil {
		return true // git ran it while the attack was made
	}
	return w.ran(marker) != ""
}

// TestGitInside: git is fully usable inside, and what it does arrives.
func TestGitInside(t *testing.T) {
	testenv.Need(t, "git")
	w := newWorld(t)
	w.host("git", "init", "-q", "-b", "main")
	w.write("f", "1\n")
	w.host("git", "add", "f", "README")
	w.host("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "one")
	out := w.sh(`set -ex
git status --porcelain
echo 2 >> f; git commit -qam two; git checkout -q -b topic; echo 3 >> f; git commit -qam three
git stash list; echo x > g; git add g; git stash; git stash pop; git commit -qm four
git checkout -q main; echo m > m; git add m; git commit -qm main2; git checkout -q topic; git rebase -q main
git config user.signingkey none; git config --get user.signingkey; git remote add origin https://example.com/r.git; git remote -v
git tag v1; git log --oneline | wc -l; git gc -q; git worktree list; git branch -m topic topic2; git reset -q --hard HEAD~1; git merge -q main; git cherry-pick --abort 2>/dev/null || true
git fsck; git status --porcelain`)
	mustContain(t, "git inside", out, "https://example.com/r.git", "none")
	log := w.host("git", "log", "--oneline", "--all")
	mustContain(t, "the host's log", log, "two", "three", "main2")
	w.host("git", "fsck", "--no-dangling")
	if s := w.host("git", "status", "--porcelain"); strings.Contains(s, "README") || strings.Contains(s, " f") {
		t.Errorf("the host's status: %s", s)
	}
	mustLack(t, "the host's configuration", w.read(".git/config"), "example.com")
}

// TestWorktreeAndSubmodule: the common directory lies outside the project.
func TestWorktreeAndSubmodule(t *testing.T) {
	testenv.Need(t, "git")
	w := newWorld(t)
	w.host("git", "init", "-q", "-b", "main")
	w.write("f", "1\n")
	w.host("git", "add", "f")
	w.host("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "one")
	wt := filepath.Join(w.home, "wt")
	w.host("git", "worktree", "add", "-q", wt)
	main := w.proj
	w.proj = wt
	line, marker := w.payload()
	w.sh("set -e; git status; echo 2 >> f; git commit -qam from-the-worktree; git log --oneline")
	mustContain(t, "log", w.host("git", "log", "--oneline"), "from-the-worktree")
	w.trySh(`C=$(git rev-parse --git-common-dir); printf '[core]\n\tfsmonitor=` + line + `\n' >> $C/config; printf '#!/bin/sh\n` + line + `\n' > $C/hooks/pre-commit; chmod +x $C/hooks/pre-commit; rm -rf $C/refs; mv $C ${C}2`)
	w.exercise("linked worktree", marker)
	w.proj = main
	w.exercise("main worktree", marker)
	w.host("git", "fsck")
}

// committed is a run that commits what runs by itself, in the project and in a repository in it.
func committed(t *testing.T) (*world, result) {
	t.Helper()
	w := newWorld(t)
	w.host("git", "init", "-q", "-b", "main")
	w.write(".envrc", "old")
	w.host("git", "add", "-f", ".envrc")
	w.host("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "one")
	w.host("git", "init", "-q", "nested")
	return w, w.trySh(`git checkout -q -b side; mkdir -p d/.vscode; echo x > d/.vscode/tasks.json; git add -f d; git commit -qm evil; git checkout -q main; echo x > x; git add x; git commit -qm x
cd nested; git checkout -q -b side; echo x > .envrc; git add -f .envrc; git commit -qm evil`)
}

// TestCommittedFilesThatRun: what a commit carries past the view is named.
func TestCommittedFilesThatRun(t *testing.T) {
	testenv.Need(t, "git")
	w, r := committed(t)
	// A run looks for half a second, and then says that it did not see all: where the machine is
	// busy with other things it may come to that here, too.
	for tries := 0; tries < 20 && strings.Contains(r.errout, "not all new commits could be looked at"); tries++ {
		w, r = committed(t)
	}
	mustContain(t, "the closing lines", r.errout, "new commits hold files that run by themselves once checked out: d/.vscode/tasks.json", "nested/.envrc")
	mustLack(t, "the closing lines", r.errout, "checked out: .envrc")
	mustContain(t, "the record", w.belljar("log", "--json").out, `"op":"commit"`, `"path":"d/.vscode/tasks.json"`)
	mustContain(t, "the summary of the record", w.belljar("log", "summary").out, "d/.vscode/tasks.json in commit ")
}

// TestApply: what waits can be read, applied, discarded.
func TestApply(t *testing.T) {
	w := newWorld(t)
	w.host("git", "init", "-q")
	w.sh(`printf '#!/bin/sh\nexit 0\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit; echo x > .envrc; echo pass > p`)
	r := w.belljar("diff")
	mustContain(t, "diff", r.out, ".git/hooks/pre-commit", ".envrc", "+exit 0")
	mustLack(t, "diff", r.out, "+pass")
	if r := w.belljar("apply", ".envrc"); r.status != 0 {
		t.Fatalf("apply: %s", r.errout)
	}
	if !w.exists(".envrc") || w.exists(".git/hooks/pre-commit") {
		t.Error("apply by path did not apply exactly that path")
	}
	if r := w.belljar("discard"); r.status != 0 {
		t.Fatalf("discard: %s", r.errout)
	}
	if out := w.belljar("diff").out; strings.TrimSpace(out) != "" || w.exists(".git/hooks/pre-commit") {
		t.Errorf("after discard: %s", out)
	}
	w.sh(`echo review > r; rm README`, "--mode", "review")
	if w.exists("r") || !w.exists("README") {
		t.Error("review did not hold")
	}
	if r := w.belljar("apply"); r.status != 0 || !w.exists("r") || w.exists("README") {
		t.Errorf("apply of everything: %s", r.errout)
	}
	if r := w.trySh("echo x > ro", "--mode", "readonly"); r.status == 0 || w.exists("ro") {
		t.Error("readonly is writable")
	}
}
