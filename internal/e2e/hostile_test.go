package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestOddHome: a HOME that is a link, or is written with a slash at the end.
func TestOddHome(t *testing.T) {
	w := newWorld(t)
	link := filepath.Join(filepath.Dir(w.home), "link")
	if err := os.Symlink(w.home, link); err != nil {
		t.Fatal(err)
	}
	for _, home := range []string{w.home + "/", link} {
		w.env = append(w.env, "HOME="+home)
		if out := w.sh("touch ~/x && echo ok"); out != "ok\n" {
			t.Errorf("HOME=%s: %q", home, out)
		}
	}
}

// TestNohup: a run that was told to outlive its terminal does.
func TestNohup(t *testing.T) {
	w := newWorld(t)
	c := exec.Command("nohup", binary, "run", "--", "sh", "-c", "echo ready; read x; echo survived")
	c.Dir, c.Env = w.proj, w.env
	in, out := startReady(t, c)
	if err := c.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	got := readUntil(t, out, "")
	if err := c.Wait(); err != nil || got != "survived\n" {
		t.Errorf("%v %q", err, got)
	}
}

// TestLeftInTheWay: what a sandbox leaves in its private folders must not keep the
// next run, or any other command, from working.
func TestLeftInTheWay(t *testing.T) {
	w := newWorld(t)
	w.trySh("mkdir -p ~/.cache; chmod 0 ~/.cache; chmod 0 ~")
	w.sh("true")
	w.trySh("chmod 0 ~", "--name", "kept")
	w.sh("touch ~/x", "--name", "kept")
	deep := `import os
os.chdir(os.environ["HOME"])
for i in range(300):
    os.mkdir("d"*20); os.chdir("d"*20)
os.mkdir("z"); open("z/f","w").close(); os.chmod("z",0)`
	if r := w.belljar("run", "--", "python3", "-c", deep); r.status != 0 || strings.Contains(r.errout, "belljar: error") {
		t.Errorf("status %d: %.500s", r.status, r.errout)
	}
	if r := w.trySh("true"); r.status != 0 || strings.Contains(r.errout, "killed") || strings.Contains(r.errout, "could not be removed") {
		t.Errorf("the next run: %.500s", r.errout)
	}
}

// TestNameInUse: two runs never share one kept HOME.
func TestNameInUse(t *testing.T) {
	w := newWorld(t)
	c := w.cmd(context.Background(), "run", "--name", "mine", "--", "sh", "-c", "echo ready; read x")
	in, _ := startReady(t, c)
	r := w.trySh("true", "--name", "mine")
	if r.status != 125 || !strings.Contains(r.errout, "mine") {
		t.Errorf("status %d: %s", r.status, r.errout)
	}
	in.Close()
	_ = c.Wait() // read fails at the end of its input
	w.sh("true", "--name", "mine")
}

// TestJSONIsHarmless: what --json prints of names from inside does nothing to a terminal.
func TestJSONIsHarmless(t *testing.T) {
	w := newWorld(t)
	w.sh("mkdir .vscode; touch \"$(printf '.vscode/c1\\302\\23331m')\" \"$(printf '.vscode/bidi\\342\\200\\256.txt')\"")
	out := w.belljar("diff", "--json").out + w.belljar("log", "--json").out + w.belljar("log", "summary", "--json").out
	mustLack(t, "--json", out, "\u009b", "\u202e")
	mustContain(t, "--json", out, `\u009b31m`, `\u202e.txt`)
}
