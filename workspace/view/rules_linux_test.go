package view

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/testenv"
	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/shadow"
	"github.com/google/go-cmp/cmp"
)

// snapshot is everything of a tree: type, mode, content.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		i, err := e.Info()
		if err != nil {
			return err
		}
		s := i.Mode().String()
		switch {
		case i.Mode().IsRegular():
			s += " " + read(t, p)
		case i.Mode()&os.ModeSymlink != 0:
			l, _ := os.Readlink(p)
			s += " -> " + l
		}
		out[rel] = s
		return nil
	}))
	return out
}

// TestHeld: what is held succeeds inside, is seen inside, and changes nothing on
// the host.
func TestHeld(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, script, check string }{
		{"edit", `echo x >> .vscode/a; echo y > .vscode/new`, `test "$(cat .vscode/a)" = "$(printf 'ax')"; cat .vscode/new`},
		{"truncate", `: > .vscode/a`, `test ! -s .vscode/a`},
		{"delete", `rm .vscode/a`, `test ! -e .vscode/a; ! ls .vscode | grep -x a`},
		{"delete and make", `rm .vscode/a; echo z > .vscode/a`, `test "$(cat .vscode/a)" = z`},
		{"remove the folder", `rm -r .vscode`, `test ! -e .vscode; ! ls -A | grep -x .vscode`},
		{"replace the folder", `rm -r .vscode; mkdir .vscode; echo q > .vscode/q`, `test "$(ls .vscode)" = q`},
		{"chmod", `chmod 755 .vscode/a`, `test -x .vscode/a`},
		{"touch", `touch -d @1 .vscode/a`, `test "$(stat -c %Y .vscode/a)" = 1`},
		{"rename inside", `mv .vscode/a .vscode/b`, `test ! -e .vscode/a; cat .vscode/b`},
		{"save by rename", `echo n > .vscode/a.tmp; mv .vscode/a.tmp .vscode/a`, `test "$(cat .vscode/a)" = n`},
		{"rename into", `echo n > t; mv t .vscode/a`, `test "$(cat .vscode/a)" = n; test ! -e t`},
		{"link", `echo n > t; ! ln t .vscode/t; rm t`, `test ! -e .vscode/t`},
		{"symlink", `ln -s a .vscode/l`, `cat .vscode/l`},
		{"mkdir", `mkdir -p .vscode/x/y; echo 1 > .vscode/x/y/z`, `cat .vscode/x/y/z`},
		{"rename a folder", `mkdir .vscode/x; echo 1 > .vscode/x/f; mv .vscode/x .vscode/y`, `cat .vscode/y/f; test ! -e .vscode/x`},
		{"secret made", `echo mine > .env.local; chmod 600 .env.local`, `test "$(cat .env.local)" = mine`},
		{"secret over hidden", `echo mine > .env`, `test "$(cat .env)" = mine`},
		{"secret saved by rename", `echo mine > .env.x; mv .env.x .env`, `test "$(cat .env)" = mine`},
		{"secret removed", `echo mine > .env; rm .env`, `test ! -e .env`},
		{"absolute symlink", `ln -s /etc/passwd out`, `test "$(readlink out)" = /etc/passwd`},
		{"climbing symlink", `mkdir s; cd s; ln -s ../../x up; cd ..; mv s/up up2; rmdir s`, `test -L up2`},
		{"fifo", `mkfifo p`, `test -p p`},
		{"policy", `echo x > belljar.yaml; ln -sf a.txt BELLJAR.YAML`, `cat belljar.yaml`},
		{"whole folder with a held file", `rm -r mixed`, `test ! -e mixed`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, worldOptions{seed: func(h string) {
				write(t, h+"/a.txt", "a")
				write(t, h+"/.vscode/a", "a")
				write(t, h+"/.env", "SECRET")
				write(t, h+"/mixed/.env", "SECRET")
			}})
			before := snapshot(t, w.host)
			w.sh(c.script)
			w.sh(c.check)
			if d := cmp.Diff(before, snapshot(t, w.host)); d != "" {
				t.Errorf("the host changed: %s", d)
			}
			// The next server finds the same.
			w.server.Close()
			again := newWorld(t, worldOptions{host: w.host, shadow: w.shadow})
			again.sh(c.check)
		})
	}
}

// TestRemovedFolderComesBack: a folder that still holds something hidden can be
// removed and made again, and new files in it pass as before.
func TestRemovedFolderComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{seed: func(h string) {
		write(t, h+"/dist/.env", "SECRET")
		write(t, h+"/dist/.vscode/x", "held")
		write(t, h+"/dist/old.js", "old")
	}})
	w.sh(`rm -rf dist; test ! -e dist; mkdir dist; test -z "$(ls -A dist)"; echo new > dist/new.js`)
	if got := read(t, w.host+"/dist/new.js"); got != "new\n" {
		t.Errorf("new.js is %q", got)
	}
	absent(t, w.host+"/dist/old.js")
	if read(t, w.host+"/dist/.env") != "SECRET" || read(t, w.host+"/dist/.vscode/x") != "held" {
		t.Error("hidden or held files changed")
	}
}

// TestDirectoryRename: a rename that changes the meaning of what is below is refused
// with EXDEV; others carry private files along.
func TestDirectoryRename(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{seed: func(h string) { write(t, h+"/d/f", "f") }})
	if err := os.Rename(w.in+"/d", w.in+"/.vscode"); err == nil || err.(*os.LinkError).Err != syscall.EXDEV {
		t.Errorf("rename to .vscode: %v", err)
	}
	w.sh(`echo p > d/.env; mkdir -p d/.vscode; echo v > d/.vscode/v; mv d e; test "$(cat e/.env)" = p; cat e/.vscode/v; test ! -e d; mv e d; cat d/.env; mkdir deep; mv d deep/d; cat deep/d/.vscode/v`)
	absent(t, w.host+"/deep/d/.env")
	if read(t, w.host+"/deep/d/f") != "f" {
		t.Error("f did not move")
	}
	w.sh(`mkdir -p x/y; ln -s ../../deep x/y/l; ! mv -T x/y/l up 2>/dev/null || test -L up; mv x/y z; cat z/l/d/f || true`)
	if l, err := os.Readlink(w.host + "/z/l"); err == nil {
		t.Errorf("a link that leaves the tree reached the host: %s", l)
	}
}

// TestHostMakesSecrets: names that become secrets on the host are gone inside.
func TestHostMakesSecrets(t *testing.T) {
	w := newWorld(t, worldOptions{seed: func(h string) {
		write(t, h+"/plain", "will be secret")
		write(t, h+"/other", "other")
		write(t, h+"/dir/x", "x")
	}})
	w.sh(`cat plain other dir/x; ls -A; test ! -e moved.pem`)
	f, err := os.Open(w.in + "/plain")
	must(t, err)
	defer f.Close()
	for _, script := range []string{`echo S > .env`, `mv plain moved.pem`, `mv other .env.other; echo S > .env.x`, `mv dir .ssh`} {
		w.onHost(script)
	}
	eventually(t, "plain is gone", func() bool { _, err := os.Lstat(w.in + "/plain"); return err != nil })
	for _, n := range []string{".env", "moved.pem", ".env.other", ".env.x", ".ssh", ".ssh/x", "plain", "other"} {
		absent(t, w.in+"/"+n)
		if out, err := w.run("cat", n); err == nil {
			t.Errorf("%s can be read: %s", n, out)
		}
	}
	b := make([]byte, 10)
	eventually(t, "an open descriptor does not read what is hidden now", func() bool { _, err := f.ReadAt(b, 0); return err != nil })
	if out := w.sh(`ls -A`); strings.TrimSpace(out) != "" {
		t.Errorf("still listed: %q", out)
	}
}

// TestHostEdits are seen inside at once.
func TestHostEdits(t *testing.T) {
	w := newWorld(t, worldOptions{seed: func(h string) {
		write(t, h+"/f", "one")
		write(t, h+"/d/g", "one")
	}})
	w.sh(`cat f d/g; ls d; test ! -e new`)
	var took []time.Duration
	see := func(what string, ok func() bool) {
		t.Helper()
		start := time.Now()
		eventually(t, what, ok)
		took = append(took, time.Since(start))
	}
	is := func(name, want string) func() bool {
		return func() bool { b, err := os.ReadFile(w.in + "/" + name); return err == nil && string(b) == want }
	}
	for i := range 10 {
		v := fmt.Sprint("version ", i)
		write(t, w.host+"/f", v)
		see("edit in place", is("f", v))
		write(t, w.host+"/f.tmp", v+"!")
		must(t, os.Rename(w.host+"/f.tmp", w.host+"/f"))
		see("save by rename", is("f", v+"!"))
		write(t, w.host+"/new", v)
		see("new file", is("new", v))
		must(t, os.Remove(w.host+"/new"))
		see("removal", func() bool { _, err := os.Lstat(w.in + "/new"); return os.IsNotExist(err) })
		must(t, os.Rename(w.host+"/d", w.host+"/d2"))
		see("moved folder", is("d2/g", "one"))
		must(t, os.Rename(w.host+"/d2", w.host+"/d"))
		see("moved back", is("d/g", "one"))
	}
	slices.Sort(took)
	usual := took[len(took)/2] // a single one may wait for a processor
	t.Logf("usual %v, slowest %v", usual, took[len(took)-1])
	if usual > time.Second {
		t.Errorf("an edit usually took %v to be seen", usual)
	}
}

// TestHostEditsWhileBusy: what the host does is seen soon although the sandbox, whose own
// changes are the watcher's as well, never rests.
func TestHostEditsWhileBusy(t *testing.T) {
	w := newWorld(t, worldOptions{disk: 1 << 30})
	var changes atomic.Int64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			name := fmt.Sprintf("%s/busy%d", w.in, changes.Add(1)%10)
			_ = os.WriteFile(name, []byte("x"), 0o644)
			_ = os.Remove(name)
		}
	}()
	defer func() { close(stop); <-done }()
	var took []time.Duration
	var meanwhile []int64 // changes of the sandbox
	for i := range 20 {
		before := changes.Load()
		eventually(t, "the sandbox goes on", func() bool { return changes.Load() > before+10 })
		name := fmt.Sprint("/new", i)
		if _, err := os.Lstat(w.in + name); !os.IsNotExist(err) { // which the kernel remembers
			t.Fatal(err)
		}
		write(t, w.host+name, "new")
		start, before := time.Now(), changes.Load()
		eventually(t, "the new file", func() bool { _, err := os.Lstat(w.in + name); return err == nil })
		took, meanwhile = append(took, time.Since(start)), append(meanwhile, changes.Load()-before)
	}
	slices.Sort(took)
	slices.Sort(meanwhile)
	usual, most := took[len(took)/2], meanwhile[len(meanwhile)/2]
	t.Logf("usual %v, slowest %v; in the usual time the sandbox made %d changes", usual, took[len(took)-1], most)
	if usual > 200*time.Millisecond && most > 200 { // where the machine is slow, the sandbox is
		t.Errorf("an edit usually took %v to be seen, and %d changes of the sandbox", usual, most)
	}
}

// TestHostWinsAppend: appending inside never overwrites what the host appended.
func TestHostWinsAppend(t *testing.T) {
	w := newWorld(t, worldOptions{seed: func(h string) { write(t, h+"/log", "") }})
	in, err := os.OpenFile(w.in+"/log", os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	defer in.Close()
	host, err := os.OpenFile(w.host+"/log", os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	defer host.Close()
	for range 200 {
		_, err := host.WriteString("host\n")
		must(t, err)
		_, err = in.WriteString("inside\n")
		must(t, err)
	}
	got := read(t, w.host+"/log")
	if strings.Count(got, "host\n") != 200 || strings.Count(got, "inside\n") != 200 {
		t.Errorf("lines were lost: %d host, %d inside", strings.Count(got, "host\n"), strings.Count(got, "inside\n"))
	}
	eventually(t, "inside sees the same", func() bool { return read(t, w.in+"/log") == got })
}

// TestHardLinks: links made elsewhere are broken before the first change, links made
// inside stay.
func TestHardLinks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, script string }{
		{"write", `echo changed > pkg`}, {"append", `echo more >> pkg`}, {"truncate", `: > pkg`}, {"chmod", `chmod 700 pkg`},
		{"touch", `touch -d @1 pkg`}, {"link", `ln pkg own; echo x > own`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, worldOptions{})
			store := filepath.Join(t.TempDir(), "store")
			write(t, store, "store")
			must(t, os.Link(store, w.host+"/pkg"))
			before, err := os.Stat(store)
			must(t, err)
			w.sh(c.script)
			after, err := os.Stat(store)
			must(t, err)
			if read(t, store) != "store" || after.Mode() != before.Mode() || !after.ModTime().Equal(before.ModTime()) {
				t.Errorf("the store changed: %q %v", read(t, store), after)
			}
		})
	}
	w := newWorld(t, worldOptions{})
	w.sh(`echo 1 > a; ln a b; echo 2 >> b; test "$(cat a)" = "$(cat b)"; ln b c; rm a; echo 3 > c; test "$(cat b)" = 3; mv b d; echo 4 > d; test "$(cat c)" = 4; test "$(stat -c %h c)" = 2`)
	if read(t, w.host+"/c") != "4\n" {
		t.Error("links made inside do not share")
	}
}

// TestModes: review holds everything, readonly refuses everything.
func TestModes(t *testing.T) {
	t.Parallel()
	seed := func(h string) { write(t, h+"/a", "a"); write(t, h+"/d/b", "b"); write(t, h+"/.env", "S") }
	w := newWorld(t, worldOptions{mode: belljar.ModeReview, seed: seed})
	before := snapshot(t, w.host)
	w.sh(`echo x > a; echo n > n; rm d/b; rmdir d; mkdir -p e/f; echo g > e/f/g; mv n e/n; mv e h; ln -s a l; chmod 700 a; cat a h/n h/f/g; test ! -e d; test ! -e e; mkdir d; test -z "$(ls -A d)"`)
	if d := cmp.Diff(before, snapshot(t, w.host)); d != "" {
		t.Errorf("the host changed: %s", d)
	}
	s, err := shadow.Open(w.shadow)
	must(t, err)
	v, err := s.View(w.host)
	must(t, err)
	defer v.Close()
	var got []string
	must(t, v.Walk(func(e shadow.Entry) error { got = append(got, e.Kind.String()+" "+e.Path); return nil }))
	want := []string{"file a", "dir d", "dir h", "dir h/f", "file h/f/g", "file h/n", "symlink l"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	w = newWorld(t, worldOptions{mode: belljar.ModeReadOnly, seed: seed})
	for _, script := range []string{`echo x > n`, `echo x >> a`, `rm a`, `mkdir m`, `mv a b`, `chmod 700 a`, `ln a b`, `ln -s a b`, `touch -d @1 a`, `rmdir d`, `mkfifo p`} {
		if out, err := w.run("sh", "-ec", script); err == nil || !strings.Contains(out, "Read-only") && !strings.Contains(out, "I/O error") {
			t.Errorf("%s: %v %s", script, err, out)
		}
	}
	w.sh(`cat a d/b; test ! -e .env`)
}

// TestQuota: what a run adds is bounded, removal gives it back, one event tells.
func TestQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{disk: 8 << 20})
	out, err := w.run("sh", "-c", `dd if=/dev/zero of=big bs=64k count=1000 2>&1`)
	if err == nil || !strings.Contains(out, "No space left") {
		t.Fatalf("dd: %v %s", err, out)
	}
	if i, err := os.Stat(w.host + "/big"); err != nil || i.Size() > 16<<20 {
		t.Errorf("overshoot: %v %v", i.Size(), err)
	}
	if out, err := w.run("sh", "-c", `echo x > .vscode.x; mkdir m`); err == nil {
		t.Errorf("more was allowed: %s", out)
	}
	w.sh(`rm big; dd if=/dev/zero of=small bs=64k count=10 2>/dev/null`)
	// Sparse files are charged for what they take.
	w.sh(`truncate -s 100G sparse; rm sparse small`)
	if out, err := w.run("sh", "-c", `fallocate -l 100M pre`); err == nil {
		t.Errorf("fallocate: %s", out)
	}
	if out, err := w.run("sh", "-c", `i=0; while [ $i -lt 5000 ]; do : > e$i || exit 1; i=$((i+1)); done`); err == nil {
		t.Errorf("empty files are free: %s", out)
	}
	w.server.Close()
	limits := 0
	for _, e := range w.sink.events {
		if e.Limit != nil {
			limits++
		}
	}
	if limits != 1 {
		t.Errorf("%d limit events", limits)
	}
}

// TestQuotaIsNotGivenBackForWhatStays: hiding a file of the host behind a whiteout
// frees nothing, and saving by rename costs nothing in the end.
func TestQuotaIsNotGivenBackForWhatStays(t *testing.T) {
	w := newWorld(t, worldOptions{disk: 4 << 20, mode: belljar.ModeReview, seed: func(h string) { write(t, h+"/big", strings.Repeat("x", 16<<20)) }})
	if out, err := w.run("sh", "-c", `rm big; dd if=/dev/zero of=new bs=64k count=200 2>&1`); err == nil {
		t.Errorf("the limit grew: %s", out)
	}
	w = newWorld(t, worldOptions{disk: 4 << 20})
	w.sh(`mkdir .vscode; i=0; while [ $i -lt 20 ]; do dd if=/dev/zero of=t bs=64k count=8 status=none; mv t .vscode/t; mv .vscode/t u; mv u .env; i=$((i+1)); done`)
}

// TestRepositoryMadeInside: the user's configuration makes hooks of ordinary files
// in every repository, also in one that the sandbox makes.
func TestRepositoryMadeInside(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "git")
	home := t.TempDir()
	write(t, home+"/.gitconfig", "[core]\n\thooksPath = .githooks\n")
	project := home + "/p"
	must(t, os.Mkdir(project, 0o755))
	found, err := rules.Discover(rules.DiscoverOptions{Dir: project, Home: home, GlobalConfigs: []string{home + "/.gitconfig"}})
	must(t, err)
	w := newWorld(t, worldOptions{host: project, hold: found.Hold})
	w.sh(`mkdir hooks; echo mine > hooks/useMine.ts; git init -q sub; cd sub; for d in .githooks d; do mkdir $d; printf '#!/bin/sh\ntouch ../PWNED\n' > $d/pre-commit; chmod +x $d/pre-commit; done; mkdir x; mv d x/.githooks; cp -r .githooks x/; ln -s d .githooks2; test -x .githooks/pre-commit`)
	w.onHost(`cd sub; export HOME=` + home + `; git -c user.name=x -c user.email=x@x commit -q --allow-empty -m x; mkdir -p x; cd x; git init -q; git -c user.name=x -c user.email=x@x commit -q --allow-empty -m x`)
	absent(t, w.host+"/PWNED")
	absent(t, w.host+"/sub/PWNED")
	absent(t, w.host+"/sub/.githooks/pre-commit")
	if read(t, w.host+"/hooks/useMine.ts") != "mine\n" {
		t.Error("an ordinary folder of that name is held")
	}
}
