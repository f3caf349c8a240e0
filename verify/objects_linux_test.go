package verify

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOpenObjects: what this process and a child of it have open is found, whichever of
// the two has it.
func TestOpenObjects(t *testing.T) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	mem, err := unix.MemfdCreate("only-the-child-has-it", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(mem), "memory")
	c := exec.Command("cat")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.ExtraFiles = []*os.File{f}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); _ = c.Wait() }()
	f.Close()
	found := openObjects()
	for _, want := range []string{"anon_inode:[eventpoll]", "/memfd:only-the-child-has-it (deleted)"} {
		at, ok := found[want]
		if !ok || !strings.HasPrefix(at, "/proc/") {
			t.Errorf("%s is not found: %q", want, at)
			continue
		}
		if to, err := os.Readlink(at); err != nil || to != want {
			t.Errorf("%s is %q (%v), not %q", at, to, err, want)
		}
	}
}
