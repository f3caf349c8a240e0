package view

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
	"golang.org/x/sys/unix"
)

func setXattr(path, name, value string) error { return unix.Setxattr(path, name, []byte(value), 0) }

// xattr is the value, or the error in brackets.
func xattr(path, name string) string {
	b := make([]byte, 1<<16)
	n, err := unix.Getxattr(path, name, b)
	if err != nil {
		return "[" + unix.ErrnoName(err.(unix.Errno)) + "]"
	}
	return string(b[:n])
}

func xattrs(t *testing.T, path string) []string {
	t.Helper()
	b := make([]byte, 1<<16)
	n, err := unix.Listxattr(path, b)
	must(t, err)
	return slices.DeleteFunc(strings.Split(string(b[:n]), "\x00"), func(s string) bool { return !strings.HasPrefix(s, "user.") })
}

func is(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestXattr(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "xattr")
	w := newWorld(t, worldOptions{disk: 1 << 20, seed: func(h string) {
		for _, name := range []string{"f", ".vscode/tasks.json", "store"} {
			write(t, h+"/"+name, "x")
			must(t, setXattr(h+"/"+name, "user.host", "given"))
		}
		must(t, os.Link(h+"/store", h+"/linked"))
		must(t, setXattr(h+"/f", "user.overlay.origin", "not told"))
		must(t, os.Mkdir(h+"/d", 0o755))
	}})
	for _, name := range []string{"f", "d"} {
		must(t, setXattr(w.in+"/"+name, "user.a", "1"))
		is(t, name+" on the host", xattr(w.host+"/"+name, "user.a"), "1")
		is(t, name+" inside", xattr(w.in+"/"+name, "user.a"), "1")
	}
	is(t, "the list", strings.Join(xattrs(t, w.in+"/f"), " "), "user.host user.a")
	if err := unix.Setxattr(w.in+"/f", "user.a", nil, unix.XATTR_CREATE); err != unix.EEXIST {
		t.Errorf("made twice: %v", err)
	}
	must(t, unix.Removexattr(w.in+"/f", "user.a"))
	is(t, "removed", xattr(w.host+"/f", "user.a"), "[ENODATA]")

	for _, name := range []string{"user.overlay.opaque", "user.containers.override_stat", "trusted.x", "security.x"} {
		if err := setXattr(w.in+"/f", name, "y"); err == nil {
			t.Errorf("%s was set", name)
		}
		is(t, name, xattr(w.host+"/f", name), "[ENODATA]")
	}
	is(t, "what means something to the host", xattr(w.in+"/f", "user.overlay.origin"), "[ENODATA]")

	// A private copy has the host's attributes, and its own from there on.
	must(t, setXattr(w.in+"/.vscode/tasks.json", "user.mine", "2"))
	is(t, "held", xattr(w.in+"/.vscode/tasks.json", "user.mine")+xattr(w.in+"/.vscode/tasks.json", "user.host"), "2given")
	is(t, "held on the host", xattr(w.host+"/.vscode/tasks.json", "user.mine"), "[ENODATA]")
	// A file with other names is separated from them first.
	must(t, setXattr(w.in+"/linked", "user.mine", "3"))
	is(t, "linked", xattr(w.host+"/linked", "user.mine")+xattr(w.host+"/linked", "user.host"), "3given")
	is(t, "its other name", xattr(w.host+"/store", "user.mine"), "[ENODATA]")

	full := 0
	for i := range 1000 {
		if setXattr(w.in+"/f", "user.big", strings.Repeat("v", 2000+i%2)) == unix.ENOSPC {
			full++
		}
	}
	if full == 0 {
		t.Error("attributes are not counted against the limit")
	}
}

// Without a name, and where nothing may change.
func TestXattrNameless(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "xattr")
	w := newWorld(t, worldOptions{seed: func(h string) { write(t, h+"/f", "x") }})
	f, err := os.OpenFile(w.in+"/f", os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	if _, err := f.WriteString("y"); err != nil {
		t.Fatal(err)
	}
	must(t, os.Remove(w.in+"/f"))
	must(t, unix.Fsetxattr(int(f.Fd()), "user.a", []byte("1"), 0))
	is(t, "open, without a name", xattr("/proc/self/fd/"+itoa(int(f.Fd())), "user.a"), "1")

	w = newWorld(t, worldOptions{mode: "readonly", seed: func(h string) { write(t, h+"/f", "x") }})
	if err := setXattr(w.in+"/f", "user.a", "1"); err != unix.EROFS {
		t.Errorf("read-only: %v", err)
	}
	is(t, "read-only", xattr(w.host+"/f", "user.a"), "[ENODATA]")
}

// The kernel asks for security.capability once per file, not once per write: the
// loads of bench_linux_test.go would tell late.
func TestWritesAskForNoAttribute(t *testing.T) {
	testenv.Need(t, "root") // nobody else may look at the server, which confines itself
	t.Parallel()
	w := newWorld(t, worldOptions{seed: func(h string) { write(t, h+"/f", "x") }})
	f, err := os.OpenFile(w.in+"/f", os.O_RDWR, 0)
	must(t, err)
	defer f.Close()

	before := writes(t, w)
	for range 1000 {
		if _, err := f.Write([]byte("y")); err != nil {
			t.Fatal(err)
		}
	}
	if n := writes(t, w) - before; n > 2500 { // each is written to the host and answered
		t.Errorf("%d calls for 1000 writes", n)
	}
}

// writes counts the calls by which the server wrote: to the host and to the kernel.
func writes(t *testing.T, w *world) int {
	t.Helper()
	b, err := os.ReadFile("/proc/" + itoa(w.server.process.Pid) + "/io")
	must(t, err)
	_, rest, _ := strings.Cut(string(b), "syscw: ")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	must(t, err)
	return n
}

// In review nothing lands on the host, not even on the root and on folders.
func TestReviewKeepsAttributes(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "xattr")
	w := newWorld(t, worldOptions{mode: "review", seed: func(h string) {
		must(t, os.Mkdir(h+"/d", 0o755))
		must(t, setXattr(h+"/d", "user.host", "1"))
	}})
	var before unix.Stat_t
	must(t, unix.Stat(w.host, &before))
	w.sh(`chmod 711 . && touch -d 2001-01-01T00:00:00Z . && test "$(stat -c '%a %Y' .)" = "711 978307200" && chmod 750 d && test "$(stat -c %a d)" = 750`)
	for _, name := range []string{"", "/d"} {
		if err := setXattr(w.in+name, "user.a", "1"); err != unix.EPERM {
			t.Errorf("attribute of %q: %v", name, err)
		}
		is(t, name, xattr(w.host+name, "user.a"), "[ENODATA]")
	}
	is(t, "d", xattr(w.in+"/d", "user.host"), "1")
	must(t, os.Mkdir(w.in+"/new", 0o755))
	must(t, setXattr(w.in+"/new", "user.a", "2"))
	is(t, "new", xattr(w.in+"/new", "user.a"), "2")
	var after unix.Stat_t
	must(t, unix.Stat(w.host, &after))
	if after.Mode != before.Mode || after.Mtim != before.Mtim {
		t.Errorf("the root of the host: %o, %v; before %o, %v", after.Mode, after.Mtim, before.Mode, before.Mtim)
	}
	out := w.onHost(`stat -c %a d`)
	is(t, "the folder of the host", strings.TrimSpace(out), "755")
}

// A file that the host renames to a hidden name has no attributes here any more, and
// what asks for a change that changes nothing makes nothing private.
func TestXattrOfHidden(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "xattr")
	w := newWorld(t, worldOptions{seed: func(h string) {
		write(t, h+"/tmp", "x")
		write(t, h+"/.vscode/tasks.json", "x")
		must(t, setXattr(h+"/.vscode/tasks.json", "user.a", "1"))
	}})
	f, err := os.OpenFile(w.in+"/tmp", os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	if _, err := f.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	must(t, os.Rename(w.host+"/tmp", w.host+"/.env"))
	must(t, setXattr(w.host+"/.env", "user.secret", "TOLD"))
	eventually(t, "the host's rename is seen", func() bool { _, err := os.Lstat(w.in + "/tmp"); return err != nil })
	fd := "/proc/self/fd/" + itoa(int(f.Fd()))
	if got := xattr(fd, "user.secret"); !strings.HasPrefix(got, "[") {
		t.Errorf("read %q of a hidden file", got)
	}

	held := w.in + "/.vscode/tasks.json"
	must(t, setXattr(held, "user.a", "1"))
	if err := unix.Removexattr(held, "user.none"); err != unix.ENODATA {
		t.Error(err)
	}
	write(t, w.host+"/.vscode/tasks.json", "the host goes on")
	eventually(t, "nothing was made private", func() bool { return read(t, held) == "the host goes on" })
}
