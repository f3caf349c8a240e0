package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
	"golang.org/x/sys/unix"
)

// TestShares: a sandbox that takes all it can get of what the kernel counts for a user
// leaves enough for the next one to start.
func TestShares(t *testing.T) {
	if ownKernel() {
		t.Skip("the tier has a kernel of its own, which counts for the sandbox")
	}
	testenv.Need(t, "python3")
	w := newWorld(t)
	program, err := os.ReadFile("testdata/shares.py")
	if err != nil {
		t.Fatal(err)
	}
	w.write("shares.py", string(program))
	c := w.cmd(context.Background(), "run", "--", "python3", "shares.py")
	in, out := startReady(t, c)
	if r := w.belljar("run", "--", "echo", "second"); r.status != 0 || !strings.Contains(r.out, "second") {
		t.Errorf("the next sandbox: status %d\n%s%s", r.status, r.out, r.errout)
	}
	in.Close()
	_ = readUntil(t, out, "")
	_ = c.Wait()
	said := w.read("said")
	for _, l := range []struct {
		name  string
		which int
	}{{"MEMLOCK", unix.RLIMIT_MEMLOCK}, {"MSGQUEUE", unix.RLIMIT_MSGQUEUE}, {"SIGPENDING", unix.RLIMIT_SIGPENDING}} {
		var have syscall.Rlimit
		if err := syscall.Getrlimit(l.which, &have); err != nil {
			t.Fatal(err)
		}
		var got uint64
		_, err := fmt.Sscan(after(said, l.name), &got)
		if err != nil || got > have.Max/2 {
			t.Errorf("%s inside: %d of %d (%v)", l.name, got, have.Max, err)
		}
	}
	mustContain(t, "what it could take", said, "io_setup -1")
	var watches, most int
	b, err := os.ReadFile("/proc/sys/fs/inotify/max_user_instances")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(b), &most); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(after(said, "inotify"), &watches); err != nil || watches == 0 || watches > most/2 {
		t.Errorf("%d of %d inotify instances could be taken (%v)", watches, most, err)
	}
}

// after is what follows word.
func after(text, word string) string {
	_, rest, _ := strings.Cut(text, word+" ")
	return rest
}
