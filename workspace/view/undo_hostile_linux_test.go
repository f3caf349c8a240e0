package view

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/testenv"
	"github.com/belljar-dev/belljar/workspace"
	"golang.org/x/sys/unix"
)

// What the user puts into a folder that the run made is his: it is kept when the run
// moves the folder, whatever it does to it then.
func TestUndoRunMadeFolder(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.sh(`mkdir d d/s; echo mine >d/s/mine; ls d d/s`)
	write(t, w.host+"/d/s/user", "the user's")
	eventually(t, "it is seen inside", func() bool { return w.sh("cat d/s/user 2>/dev/null || :") == "the user's" })
	w.sh(`mv d e; rm e/s/user; mkdir f; ls f`)
	write(t, w.host+"/f/user", "the user's")
	eventually(t, "it is seen inside", func() bool { return w.sh("cat f/user 2>/dev/null || :") == "the user's" })
	w.sh(`rm f/user; echo more >f/mine`)
	w.server.Close()
	undone(t, workspace.Project{Dir: w.host, Shadow: w.shadow})
	for _, n := range []string{"/d/s/user", "/f/user"} {
		if got := read(t, w.host+n); got != "the user's" {
			t.Errorf("%s is %q", n, got)
		}
	}
	absent(t, w.host+"/e")
	absent(t, w.host+"/d/s/mine")
	absent(t, w.host+"/f/mine")
}

// What the user saves in a file that the run has touched is what comes back: after a
// removal, a rename, a write by name and one by a descriptor that was open before.
func TestUndoRunHostAgain(t *testing.T) {
	names := []string{"gone", "moved", "open", "named"}
	w := newWorld(t, worldOptions{seed: func(host string) {
		for _, n := range names {
			write(t, host+"/"+n, "old")
		}
		write(t, host+"/renamed", "old")
	}})
	f, err := os.OpenFile(w.in+"/open", os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteString("agent")
	must(t, err)
	g, err := os.OpenFile(w.in+"/renamed", os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	defer g.Close()
	_, err = g.WriteString("agent")
	must(t, err)
	w.sh(`ls; for n in gone moved named; do echo agent >$n; done`)
	for _, n := range names {
		write(t, w.host+"/"+n, "saved by the user")
		eventually(t, "it is seen inside", func() bool { return w.sh("cat "+n) == "saved by the user" })
	}
	must(t, os.Rename(w.host+"/renamed", w.host+"/other"))
	eventually(t, "it is seen inside", func() bool { return w.sh("ls other 2>/dev/null || :") != "" })
	_, err = f.WriteString("agent")
	must(t, err)
	_, _ = g.WriteString("agent")
	w.sh(`rm gone; mv moved away; echo agent >named`)
	w.server.Close()
	undone(t, workspace.Project{Dir: w.host, Shadow: w.shadow})
	for _, n := range names {
		if got := read(t, w.host+"/"+n); got != "saved by the user" {
			t.Errorf("%s is %q", n, got)
		}
	}
	if got := read(t, w.host+"/other"); got != "oldagent" {
		t.Errorf("other, written to by a descriptor that was opened before, is %q", got)
	}
	absent(t, w.host+"/away")
}

// A user's copy of an object that the host has is kept when the run moves it over that.
func TestUndoRunObject(t *testing.T) {
	w := newWorld(t, worldOptions{seed: func(host string) {
		git(t, host, "init -q")
		write(t, host+"/blob", "good")
		git(t, host, "hash-object -w blob")
		data := read(t, object(t, host))
		write(t, host+"/copy", data)
	}})
	name := object(t, w.host)
	want := read(t, name)
	rel, err := filepath.Rel(w.host, name)
	must(t, err)
	w.sh(`mv -f copy ` + rel)
	absent(t, w.host+"/copy")
	w.server.Close()
	undone(t, workspace.Project{Dir: w.host, Shadow: w.shadow})
	if got := read(t, w.host+"/copy"); got != want {
		t.Errorf("the copy is %q", got)
	}
}

// object is the only object of the repository in host.
func object(t *testing.T, host string) string {
	t.Helper()
	all, err := filepath.Glob(host + "/.git/objects/[0-9a-f][0-9a-f]/*")
	must(t, err)
	if len(all) != 1 {
		t.Fatalf("objects: %v", all)
	}
	return all[0]
}

// A file that was too large to be kept is not taken away where the run moved it to.
func TestUndoRunMovedLarge(t *testing.T) {
	w := newWorld(t, worldOptions{seed: func(host string) {
		must(t, os.WriteFile(host+"/large", []byte("the user's"), 0o644))
		must(t, os.Truncate(host+"/large", 1<<31)) // over what is kept of a run
	}})
	w.sh(`mv large l`)
	w.server.Close()
	p := workspace.Project{Dir: w.host, Shadow: w.shadow}
	out, err := p.Undo(context.Background())
	must(t, err)
	for _, o := range out {
		if o.Status != workspace.Failed {
			t.Errorf("%s: %s %s", o.Change.Path, o.Status, o.Why)
		}
	}
	if st, err := os.Stat(w.host + "/l"); err != nil || st.Size() != 1<<31 {
		t.Errorf("the only copy is gone: %v", err)
	}
}

// A conflict is settled when the user has removed what he has there.
func TestUndoRunRemoved(t *testing.T) {
	w := newWorld(t, worldOptions{seed: func(host string) { write(t, host+"/f", "old") }})
	w.sh(`echo new >f`)
	w.server.Close()
	write(t, w.host+"/f", "the user's")
	p := workspace.Project{Dir: w.host, Shadow: w.shadow}
	out, err := p.Undo(context.Background())
	must(t, err)
	if len(out) != 1 || out[0].Status != workspace.Conflicted {
		t.Fatalf("undo: %v", out)
	}
	must(t, os.Remove(w.host+"/f"))
	undone(t, p)
	if got := read(t, w.host+"/f"); got != "old" {
		t.Errorf("f is %q", got)
	}
}

// What leaves a folder that passes, and is thrown away where it waits, comes back by undo.
func TestUndoRunDiscarded(t *testing.T) {
	w := newWorld(t, worldOptions{mode: belljar.ModeReview, pass: globs("src/**"), seed: func(host string) {
		write(t, host+"/src/f", "old")
		write(t, host+"/src/d/g", "old")
	}})
	w.sh(`mv src/f f; mv src/d d`)
	w.server.Close()
	p := workspace.Project{Dir: w.host, Shadow: w.shadow}
	_, err := p.Discard(context.Background())
	must(t, err)
	undone(t, p)
	for _, n := range []string{"/src/f", "/src/d/g"} {
		if got := read(t, w.host+n); got != "old" {
			t.Errorf("%s is %q", n, got)
		}
	}
}

// What an undo of a run leaves does not take the place of an apply that can be undone.
func TestUndoRunThenApply(t *testing.T) {
	w := newWorld(t, worldOptions{mode: belljar.ModeReview, seed: func(host string) { write(t, host+"/a", "old"); write(t, host+"/f", "old") }})
	w.sh(`echo new >a`)
	w.server.Close()
	p := workspace.Project{Dir: w.host, Shadow: w.shadow}
	_, err := p.Apply(context.Background())
	must(t, err)
	v := newWorld(t, worldOptions{host: w.host, shadow: w.shadow})
	v.sh(`echo new >f`)
	v.server.Close()
	write(t, w.host+"/f", "the user's")
	out, err := p.Undo(context.Background())
	must(t, err)
	if len(out) != 1 || out[0].Status != workspace.Conflicted {
		t.Fatalf("undo: %v", out)
	}
	must(t, os.Remove(w.host+"/f"))
	undone(t, p)
	undone(t, p)
	for _, n := range []string{"a", "f"} {
		if got := read(t, w.host+"/"+n); got != "old" {
			t.Errorf("%s is %q", n, got)
		}
	}
}

// An edit that leaves size and time of a file as they were is one.
func TestUndoRunSameTime(t *testing.T) {
	w := newWorld(t, worldOptions{seed: func(host string) { write(t, host+"/f", "old"); write(t, host+"/g", "old") }})
	w.sh(`printf new >f; printf new >g`)
	w.server.Close()
	st, err := os.Stat(w.host + "/f")
	must(t, err)
	logs, err := filepath.Glob(w.shadow + "/views/*/before/*/log")
	must(t, err)
	log, err := os.Stat(logs[0])
	must(t, err)
	eventually(t, "the clock goes on", func() bool {
		write(t, w.host+"/f", "his")
		must(t, os.Chtimes(w.host+"/f", st.ModTime(), st.ModTime()))
		var now unix.Stat_t
		must(t, unix.Stat(w.host+"/f", &now))
		return now.Ctim.Nano() > log.ModTime().UnixNano()+int64(clockStep)
	})
	must(t, os.Link(w.host+"/g", w.shadow+"/backup"))
	p := workspace.Project{Dir: w.host, Shadow: w.shadow}
	out, err := p.Undo(context.Background())
	must(t, err)
	if len(out) != 2 {
		t.Errorf("undo: %v", out)
	}
	if f, g := read(t, w.host+"/f"), read(t, w.host+"/g"); f != "his" || g != "old" {
		t.Errorf("f is %q, g %q", f, g)
	}
}

// git runs git on the host.
func git(t *testing.T, dir, args string) {
	t.Helper()
	c := exec.Command("git", strings.Fields(args)...)
	c.Dir, c.Env = dir, testenv.Environ("GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("git %s: %v: %s", args, err, out)
	}
}

// A secret that the sandbox cannot see does not get into what waits, where the next run
// would see it, when a folder around it was moved and is moved back.
func TestUndoRunHidden(t *testing.T) {
	const secret = "TOKEN=secret"
	hide := globs("**/vault") // of that run only: undo does not know of it
	w := newWorld(t, worldOptions{hide: hide, seed: func(host string) {
		write(t, host+"/config/.env", secret)
		write(t, host+"/config/plain", "old")
		write(t, host+"/config/vault/f", secret)
	}})
	w.sh(`mv config moved; test ! -e moved/.env`)
	w.server.Close()
	p := workspace.Project{Dir: w.host, Shadow: w.shadow}
	undone(t, p)
	if got := read(t, w.host+"/config/.env"); got != secret {
		t.Errorf("config/.env is %q", got)
	}
	absent(t, w.host+"/moved")
	v := newWorld(t, worldOptions{hide: hide, host: w.host, shadow: w.shadow})
	if got := v.sh(`find . | sort; cat moved/.env moved/vault/f config/.env config/vault/f 2>/dev/null || :`); strings.Contains(got, "secret") || strings.Contains(got, ".env") {
		t.Errorf("the next run sees\n%s", got)
	}
	v.server.Close()
	changes, err := p.Pending()
	must(t, err)
	for _, c := range changes {
		if strings.HasSuffix(c.Path, ".env") || strings.Contains(c.Path, "vault") {
			t.Errorf("%s %s waits", c.Op, c.Path)
		}
	}
	_, err = p.Apply(context.Background())
	must(t, err)
	if got := read(t, w.host+"/config/.env"); got != secret {
		t.Errorf("after apply config/.env is %q", got)
	}
}
