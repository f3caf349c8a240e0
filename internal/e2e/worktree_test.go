package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// gitWorld is a world whose project is a repository with two commits, and changes that
// are not committed.
func gitWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.commitAll()
	return w
}

func (w *world) commitAll() {
	w.t.Helper()
	w.write(filepath.Join(w.home, ".gitconfig"), "[user]\n\tname = Dev\n\temail = dev@example.com\n")
	w.host("sh", "-ec", "[ -d .git ] || git init -q -b main; git checkout -q -B main; seq 30 > a.txt; git add README a.txt; git commit -qm first; echo b > b.txt; git add b.txt; git commit -qm second; echo MINE-ALONE > mine.txt; echo MINE-ALONE >> README")
}

// inWorktree runs a shell line in the worktree of a name.
func (w *world) inWorktree(name, line string) string {
	w.t.Helper()
	return w.sh(line, "--mode", "worktree", "--name", name)
}

// TestWorktree: sandboxes with worktrees do not see each other nor what is not
// committed; what they commit comes home by merge, and nothing else does.
func TestWorktree(t *testing.T) {
	w := gitWorld(t)
	before := w.host("sh", "-c", "git status --porcelain; cat README mine.txt")
	if out := w.inWorktree("one", `cat README *; git log --oneline | wc -l; git branch --show-current; sed -i s/^3$/three/ a.txt; echo one > one.txt; git add .; git commit -qm one; echo left > left.txt; cat .env 2>&1 || true; pwd`); !strings.Contains(out, "2\nbelljar/one\n") || !strings.HasSuffix(out, w.proj+"\n") {
		t.Errorf("inside: %s", out)
	} else {
		mustLack(t, "inside", out, "MINE-ALONE", projectSecret)
	}
	out := w.inWorktree("two", `ls; git branch -a; git log --all --oneline; find ~ .. /tmp /run -name one.txt 2>/dev/null; sed -i s/^20$/twenty/ a.txt; git commit -qam two`)
	mustLack(t, "the other", out, "one", "left")
	if got := w.host("sh", "-c", "git status --porcelain; cat README mine.txt"); got != before || w.exists("one.txt") {
		t.Errorf("the project changed: %s", got)
	}

	out = w.inWorktree("one", "cat left.txt; git log -1 --format=%s") // it goes on
	mustContain(t, "the next run", out, "left\none\n")
	d := w.belljar("diff", "one")
	mustContain(t, "diff", d.out+d.errout, "+three", "one.txt", "not committed inside: 1 file: left.txt")

	r := w.belljar("merge", "one", "two")
	if r.status != 0 {
		t.Fatalf("merge: %d %s%s", r.status, r.out, r.errout)
	}
	mustContain(t, "merge", r.out, "one: fast-forward into main, 2 files", "two: merged into main, 1 file")
	if got := w.host("sh", "-c", "git fsck --strict --no-dangling 2>&1; git branch --format='%(refname:short)'; git status --porcelain; cat README mine.txt; grep -c 'three\\|twenty' a.txt"); got != "belljar/one\nbelljar/two\nmain\n"+before+"2\n" {
		t.Errorf("after the merge: %q", got)
	}
	if r := w.belljar("discard", "one"); r.status != 0 || !strings.Contains(r.out, "discarded the worktree") {
		t.Errorf("discard: %d %s%s", r.status, r.out, r.errout)
	}
	r = w.belljar("merge", "one")
	mustContain(t, "a merge of what was discarded", r.errout, "no sandbox of that name", "there is: two")
	r = w.trySh("true", "--mode", "worktree", "--name", "one")
	mustContain(t, "a name whose branch is there", r.errout, "the branch belljar/one is there already")
}

// TestWorktreeConflict: an intended conflict is shown and changes nothing; what is not
// committed here is not overwritten; what runs by itself needs consent.
func TestWorktreeConflict(t *testing.T) {
	w := gitWorld(t)
	w.inWorktree("left", `sed -i s/^3$/links/ a.txt; git commit -qam left`)
	w.inWorktree("right", `sed -i s/^3$/rechts/ a.txt; git commit -qam right`)
	w.inWorktree("dirty", `echo theirs > README; git commit -qam dirty`)
	w.inWorktree("sly", `sed -i s/^3$/schlau/ a.txt; echo 'echo evil' > .envrc; git add -f a.txt .envrc; git commit -qm sly`)
	w.inWorktree("risky", `echo 'echo evil' > .envrc; git add -f .envrc; git commit -qm risky`)
	r := w.belljar("merge", "left", "right", "dirty")
	if r.status != 1 {
		t.Errorf("status %d", r.status)
	}
	mustContain(t, "merge", r.out+r.errout, "left: fast-forward", "right: not merged into main, nothing was changed", "conflict a.txt: the same lines",
		"<<<<<<< HEAD\nlinks\n=======\nrechts\n>>>>>>> belljar/right\n", "git merge belljar/right", `dirty: not merged into main, nothing was changed: "README" is changed here`)
	r = w.belljar("merge", "sly")
	if r.status != 126 {
		t.Errorf("risky with a conflict: %d", r.status)
	}
	mustContain(t, "risky with a conflict", r.out+r.errout, "add .envrc (direnv", "conflict a.txt", "belljar merge --risky sly")
	mustLack(t, "risky with a conflict", r.out+r.errout, "git merge belljar/sly")
	r = w.belljar("merge", "risky")
	if r.status != 126 || w.exists(".envrc") {
		t.Errorf("risky: %d %s", r.status, r.out)
	}
	mustContain(t, "risky", r.out+r.errout, "add .envrc (direnv", "belljar merge --risky risky")
	if r = w.belljar("merge", "--risky", "risky"); r.status != 0 || !w.exists(".envrc") {
		t.Errorf("with consent: %d %s%s", r.status, r.out, r.errout)
	}
	w.host("git", "merge-base", "--is-ancestor", "belljar/risky", "HEAD")
}

// TestWorktreeObeyed: a file that only the user's own configuration has the host execute
// is marked and needs consent; a link's hidden target is no deletion that comes home.
func TestWorktreeObeyed(t *testing.T) {
	w := gitWorld(t)
	line, marker := w.payload()
	w.host("sh", "-ec", `mkdir githooks conf; printf '#!/bin/sh\nexit 0\n' > githooks/pre-commit; chmod +x githooks/pre-commit; echo `+projectSecret+` > conf/dev; ln -s conf/dev .env.dev
		git add -f githooks conf .env.dev; git commit -qm hooks; git config core.hooksPath githooks`)
	mustContain(t, "plan", w.belljar("plan", "--mode", "worktree", "sh").out, "githooks")
	out := w.inWorktree("obeyed", `printf '#!/bin/sh\n`+line+`; exit 0\n' > githooks/pre-commit; chmod +x githooks/pre-commit; cat conf/dev; git add -A; git commit -qm hook --no-verify; git show --stat --format=`)
	mustContain(t, "inside", out, "githooks/pre-commit", "1 file changed")
	mustLack(t, "inside", out, projectSecret)
	mustContain(t, "diff", w.belljar("diff", "obeyed").out, "hooks")
	r := w.belljar("merge", "obeyed")
	if r.status != 126 {
		t.Errorf("merge: %d %s%s", r.status, r.out, r.errout)
	}
	mustContain(t, "merge", r.out, "modify githooks/pre-commit (")
	w.host("git", "commit", "-q", "--allow-empty", "-m", "mine")
	w.exercise("after the merge", marker)
}

// TestWorktreeGit: git works fully inside.
func TestWorktreeGit(t *testing.T) {
	w := gitWorld(t)
	out := w.inWorktree("git", `set -e
		git config user.name Agent; git config core.editor true
		for i in 1 2 3; do echo $i > f$i; git add f$i; git commit -qm $i; done
		echo dirty >> a.txt; git stash -q; git stash pop -q; git checkout -q a.txt
		git rebase -q --onto HEAD~2 HEAD~1
		GIT_SEQUENCE_EDITOR='sed -i s/^pick/reword/' git rebase -q -i HEAD~1
		git checkout -q -b other main; echo o > o; git add o; git commit -qm o; git checkout -q belljar/git; git merge -q -m m other
		git worktree add -q ../wt other 2>/dev/null || git worktree add -q /tmp/wt other; git worktree list | wc -l
		git init -q -b main ../lib 2>/dev/null && L=../lib || { git init -q -b main /tmp/lib; L=/tmp/lib; }
		(cd $L; echo l > l; git add l; git commit -qm l)
		git -c protocol.file.allow=always submodule add -q $(cd $L; pwd) sub; git commit -qm sub; (cd $L; echo 2 > l; git commit -qam l2)
		git -c protocol.file.allow=always submodule update -q --init --remote; cat sub/l; git -C sub log --oneline | wc -l
		git gc -q; git repack -qad; git fsck --strict --no-dangling; git tag v2; git cherry-pick -x other~1 >/dev/null 2>&1 || git cherry-pick --abort; git status --porcelain; git log --oneline | wc -l; git reflog | wc -l | grep -q ..`)
	mustContain(t, "inside", out, "2\n2\n2\n M sub\n")
	r := w.belljar("merge", "--no-merge", "git")
	if r.status != 0 || w.host("git", "log", "--format=%s", "-1", "belljar/git") != "sub\n" {
		t.Errorf("merge: %d %s%s", r.status, r.out, r.errout)
	}
	if r = w.belljar("merge", "git"); r.status != 126 {
		t.Errorf("a submodule lands without consent: %d %s", r.status, r.out)
	}
	mustLack(t, "the repository", w.host("sh", "-c", "git fsck --strict --no-dangling 2>&1; git tag; cat .git/config"), "error", "v2", "Agent", "sub")
}

// TestWorktreeHostile: what is made inside to harm the host does not, whether it comes
// home or somebody looks at the worktree.
func TestWorktreeHostile(t *testing.T) {
	w := gitWorld(t)
	line, marker := w.payload()
	w.write(filepath.Join(w.home, "other/private"), homeSecret)
	w.inWorktree("evil", `set +e
		printf '#!/bin/sh\n`+line+`; exit 0\n' > /tmp/h; chmod +x /tmp/h
		for h in post-checkout post-merge pre-commit reference-transaction post-index-change; do cp /tmp/h .git/hooks/$h; done
		echo x > x; git add x; git commit -qm x --no-verify
		git config core.fsmonitor '`+line+`'; git config core.hooksPath .git/hooks; git config filter.x.smudge '`+line+`'; echo '* filter=x' > .git/info/attributes
		echo `+w.home+`/other >> .git/objects/info/alternates; git update-ref refs/heads/main HEAD; git update-ref refs/heads/evil HEAD
		ln -s `+w.home+`/other out; ls -la `+w.home+`/other; cat out/private; find / -path /usr -prune -o -name private -print 2>/dev/null; touch /run/belljar/objects/x && echo WRITABLE; rm -rf /run/belljar/objects/* && echo REMOVED; true`)
	r := w.belljar("merge", "evil")
	if r.status != 0 || w.read("x") != "x\n" {
		t.Errorf("merge: %d %s%s", r.status, r.out, r.errout)
	}
	w.exercise("after the merge", marker)
	mustLack(t, "the repository", w.host("sh", "-c", "git fsck --strict --no-dangling 2>&1; git for-each-ref; cat .git/config"), "error", "heads/evil", "fsmonitor")

	w.inWorktree("worse", `set +e
		B=$(echo '[core]' | git hash-object -w --stdin); T=$(printf '100644 blob %s\tconfig\n' $B | git mktree)
		printf '40000 .git\0' > /tmp/t; echo $T | xxd -r -p >> /tmp/t 2>/dev/null || python3 -c "import sys;sys.stdout.buffer.write(bytes.fromhex('$T'))" >> /tmp/t
		E=$(git hash-object -t tree -w --literally /tmp/t); git update-ref refs/heads/belljar/worse $(git commit-tree -m evil -p HEAD $E)`)
	r = w.belljar("merge", "worse")
	mustContain(t, "a tree with .git", r.errout, `with the name ".git"`)
	if r.status == 0 || strings.Contains(w.host("git", "for-each-ref"), "worse") {
		t.Errorf("it came home: %d %s", r.status, r.out)
	}
}

// TestWorktreeIdle: a worktree that nobody named goes where nothing was done in it, and
// stays where something was, be it only held.
func TestWorktreeIdle(t *testing.T) {
	w := gitWorld(t)
	trees := func() []string {
		names, err := filepath.Glob(filepath.Join(w.state(), "projects/*/worktrees/*/worktree.json"))
		if err != nil {
			t.Fatal(err)
		}
		var own []string
		for _, n := range names {
			if b, err := os.ReadFile(n); err == nil && strings.Contains(string(b), w.proj) {
				own = append(own, n)
			}
		}
		return own
	}
	w.sh("git status", "--mode", "worktree")
	if got := trees(); len(got) > 0 {
		t.Errorf("a worktree in which nothing was done stays: %s", got)
	}
	w.sh("echo work > .envrc", "--mode", "worktree")
	if got := trees(); len(got) != 1 {
		t.Errorf("a worktree with work that is held: %q", got)
	}
}

// TestRunMany: several at once, each in a worktree of its own; the largest status is
// the whole's, a signal ends all.
func TestRunMany(t *testing.T) {
	w := gitWorld(t)
	r := w.belljar("run", "-n", "4", "--name", "t", "--", "sh", "-c", `n=$(git branch --show-current); n=${n##*-}; echo "hello $n"; ls; echo $n > file$n; git add .; git commit -qm $n; exit $n`)
	if r.status != 4 {
		t.Errorf("status %d\n%s%s", r.status, r.out, r.errout)
	}
	for _, n := range []string{"1", "2", "3", "4"} {
		mustContain(t, "output", r.out, "t-"+n+" | hello "+n+"\n")
		mustLack(t, "output", r.out, "| file"+n)
		mustContain(t, "table", r.errout, "belljar: t-"+n+"  exit "+n)
	}
	if r = w.belljar("merge", "t-1", "t-2", "t-3", "t-4"); r.status != 0 {
		t.Errorf("merge: %d %s%s", r.status, r.out, r.errout)
	}
	for _, n := range []string{"1", "2", "3", "4"} {
		if w.read("file"+n) != n+"\n" {
			t.Errorf("file%s is not here", n)
		}
	}
	if r = w.belljar("run", "-n", "2", "--mode", "live", "--", "true"); r.status != 2 {
		t.Errorf("in one tree: %d %s", r.status, r.errout)
	}

	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	defer cancel()
	c := w.cmd(ctx, "run", "-n", "2", "--", "sh", "-c", "trap 'exit 7' TERM; echo; echo ready; while :; do sleep 0.1; done")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for lines, n := bufio.NewScanner(out), 0; n < 2 && lines.Scan(); {
		if strings.HasSuffix(lines.Text(), "| ready") {
			n++
		}
	}
	_ = c.Process.Signal(syscall.SIGTERM)
	_ = c.Wait()
	if got := c.ProcessState.ExitCode(); got != 7 && got != 143 {
		t.Errorf("ended by a signal: %d", got)
	}
}

// TestWorktreeAgents: the real agents work on one repository at once, each in its
// worktree: four branches, merged; and two that collide.
func TestWorktreeAgents(t *testing.T) {
	testenv.Need(t, "only-run")
	bin := agentPath(t)
	w := newWorld(t)
	for _, key := range []string{"ANTHROPIC_API_KEY", "CODEX_API_KEY", "GEMINI_API_KEY"} {
		w.env = append(w.env, key+"="+realKey)
	}
	w.commitAll()
	type run struct {
		name string
		cmd  *exec.Cmd
		out  *strings.Builder
	}
	var all []run
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	defer cancel()
	for name := range agents("") {
		w.install(bin, name)
		port := modelServer(t, "ls; git branch -a; echo "+name+" > "+name+".txt; sed -i 's/^3$/"+name+"/' a.txt; git add "+name+".txt; git commit -qm '"+name+" alone'; git commit -qam '"+name+" and others'")
		args := agents("http://localhost:" + port)[name]
		var out strings.Builder
		c := w.cmd(ctx, append([]string{"run", "--mode", "worktree", "--name", name + "-wt", "--allow", "localhost:" + port}, args...)...)
		c.Stdout, c.Stderr = &out, &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, run{name, c, &out})
	}
	for i, r := range all {
		if err := r.cmd.Wait(); err != nil {
			t.Fatalf("%s: %v\n%s", r.name, err, r.out)
		}
		mustContain(t, r.name, r.out.String(), "2 commits on belljar/"+r.name+"-wt")
		m := w.belljar("merge", r.name+"-wt")
		if i == 0 {
			mustContain(t, "merge", m.out, "fast-forward into main, 2 files")
			continue
		}
		// All changed one line: the intended conflict.
		if m.status != 1 {
			t.Errorf("%s: %d %s%s", r.name, m.status, m.out, m.errout)
		}
		mustContain(t, "merge", m.out, "conflict a.txt", "<<<<<<< HEAD\n"+all[0].name+"\n")
		// Without the line that all changed they do not collide.
		w.inWorktree(r.name+"-wt", "git reset -q --hard HEAD~1; git commit -q --allow-empty -m again; git log --format=%s")
		w.host("git", "branch", "-D", "belljar/"+r.name+"-wt")
		if m = w.belljar("merge", r.name+"-wt"); m.status != 0 {
			t.Errorf("%s alone: %d %s%s", r.name, m.status, m.out, m.errout)
		}
	}
	for _, r := range all {
		if w.read(r.name+".txt") != r.name+"\n" {
			t.Errorf("%s's file is not here", r.name)
		}
	}
	w.nothingHolds(realKey)
	if _, err := os.Stat(filepath.Join(w.proj, "mine.txt")); err != nil {
		t.Error("the user's own file is gone")
	}
}

// Of runs of one name that begin at once one has the name. What it does in the worktree stays,
// whoever of them made that.
func TestWorktreeOfOneNameAtOnce(t *testing.T) {
	w := gitWorld(t)
	for n := range 6 {
		name := fmt.Sprint("same-", n)
		var wg sync.WaitGroup
		var results [4]result
		for i := range results {
			wg.Go(func() {
				results[i] = w.belljar("run", "--mode", "worktree", "--name", name, "--", "sh", "-c", "echo mine >> "+fmt.Sprint("w", i))
			})
		}
		wg.Wait()
		diff := w.belljar("diff", name)
		for i, r := range results {
			switch {
			case r.status == 0 && !strings.Contains(diff.out+diff.errout, fmt.Sprint("w", i)):
				t.Errorf("%s: what run %d wrote is lost: %q %s", name, i, diff.out, diff.errout)
			case r.status != 0 && !strings.Contains(r.errout, "it runs already"):
				t.Errorf("%s: run %d: status %d, %s", name, i, r.status, r.errout)
			}
		}
	}
}
