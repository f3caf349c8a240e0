package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestForeignLinks: a file of the host with several names is several files inside; a
// change of one leaves the others, and the host's, as they were.
func TestForeignLinks(t *testing.T) {
	w := newWorld(t)
	w.write("orig", "h\n")
	for _, name := range []string{"proj/store", "out"} {
		if err := os.Link(filepath.Join(w.proj, "orig"), filepath.Join(w.home, name)); err != nil {
			t.Fatal(err)
		}
	}
	w.sh("echo new>>store && echo more>>orig")
	for name, want := range map[string]string{"orig": "h\nmore\n", "store": "h\nnew\n", "../out": "h\n"} {
		if got := w.read(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestOddArguments: what programs inside hand to each other is theirs, whatever bytes
// it is made of; what belljar is handed has to be text, and is not changed silently.
func TestOddArguments(t *testing.T) {
	w := newWorld(t)
	if got := w.sh(`/bin/echo "$(printf 'x\377')" | od -An -tx1; x=$(head -c 20000 /dev/zero | sed 's/\x00/é/g'); /bin/true "x$x" && echo long; mkdir "$(printf 'd\377')" && cd "$(printf 'd\377')" && /bin/echo here`); !strings.HasPrefix(got, " 78 ff 0a\nlong\nhere\n") {
		t.Errorf("inside: %q", got)
	}
	if r := w.belljar("run", "--", "echo", "\xff"); r.status != 2 || !strings.Contains(r.errout, "UTF-8") {
		t.Errorf("status %d: %s", r.status, r.errout)
	}
}

// TestEmptyFlags: a flag without a value is no flag that was left out.
func TestEmptyFlags(t *testing.T) {
	w := newWorld(t)
	for _, flag := range []string{"--policy", "--mode", "--workspace", "--memory", "--time", "--name"} {
		if r := w.belljar("run", flag, "", "--", "true"); r.status != 2 || !strings.Contains(r.errout, flag+" is empty") {
			t.Errorf("%s: status %d: %s", flag, r.status, r.errout)
		}
	}
}

// TestUmask: a caller's umask that keeps even the owner out keeps nothing from running.
func TestUmask(t *testing.T) {
	w := newWorld(t)
	c := w.cmd(t.Context(), "run", "--", "sh", "-c", "echo x > made")
	c.Path, c.Args = "/bin/sh", append([]string{"sh", "-c", `umask 0777; exec "$@"`, "sh"}, c.Args...)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if got := w.read("made"); got != "x\n" {
		t.Errorf("made: %q", got)
	}
}

// TestFullOutput: output that finds no room is not lost in silence.
func TestFullOutput(t *testing.T) {
	w := newWorld(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	var errout strings.Builder
	c := w.cmd(t.Context(), "run", "--", "echo", "hi")
	c.Stdout, c.Stderr = full, &errout
	if err := c.Run(); err == nil || c.ProcessState.ExitCode() != 125 || !strings.Contains(errout.String(), "did not arrive") {
		t.Errorf("%v: %s", err, errout.String())
	}
}

// TestUntouchedIsNotPinned: a private copy without a difference does not hide what the
// host does to the file afterwards.
func TestUntouchedIsNotPinned(t *testing.T) {
	w := newWorld(t)
	w.write(".vscode/s.json", "old")
	w.sh("touch .vscode/s.json; printf old > .vscode/s.json; echo x > .vscode/other")
	w.write(".vscode/s.json", "new")
	if got := w.sh("cat .vscode/s.json .vscode/other"); got != "newx\n" {
		t.Errorf("the next run sees %q", got)
	}
	if r := w.belljar("diff", "--name-only"); r.out != ".vscode/other\n" {
		t.Errorf("waiting: %q", r.out)
	}
}
