package fstest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Options adapt the suite to what a file system declares that it cannot do.
type Options struct {
	// Exe is a program whose main calls [Child] first; usually os.Executable() of a
	// test whose TestMain does. Empty: cases of several processes are left out.
	Exe string
	// OpenFolders says that folders stay open to their owner, whatever mode they are
	// given: cases that close one are left out.
	OpenFolders bool
}

// Run tries all cases below dir, which must exist and is left empty.
func Run(t *testing.T, dir string, o Options) {
	t.Helper()
	if n := len(All(o)); n < 120 {
		t.Fatalf("only %d cases", n)
	}
	for _, k := range All(o) {
		t.Run(k.Name, func(t *testing.T) {
			d, err := os.MkdirTemp(dir, "case")
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				makeRemovable(d)
				if err := os.RemoveAll(d); err != nil {
					t.Errorf("clean up: %v", err)
				}
			}()
			k.Try(&C{T: t, Dir: d, Exe: o.Exe})
		})
	}
}

// makeRemovable undoes modes that keep os.RemoveAll out.
func makeRemovable(dir string) {
	_ = filepath.WalkDir(dir, func(p string, e os.DirEntry, _ error) error {
		if e != nil && e.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
}

// A Case is one expectation.
type Case struct {
	Name string
	Try  func(c *C)
}

// All lists the cases that Run would try.
func All(o Options) []Case {
	l := slices.Concat(errorCases(), openCases, dataCases, dirCases, renameCases, linkCases, attrCases, specialCases, threadCases)
	if os.Geteuid() != 0 {
		l = append(l, permissionCases...)
		if !o.OpenFolders {
			l = append(l, closedFolderCases...)
		}
	}
	if o.Exe != "" {
		l = append(l, processCases...)
	}
	return l
}

// C is what a case works with. Names are relative to a fresh directory.
type C struct {
	*testing.T
	Dir string
	Exe string
}

// P is the path of a name.
func (c *C) P(name string) string { return filepath.Join(c.Dir, name) }

// OK ends the case when err is not nil.
func (c *C) OK(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// Errno wants one of the error numbers.
func (c *C) Errno(err error, want ...unix.Errno) {
	c.Helper()
	var got unix.Errno
	if err == nil || !errors.As(err, &got) || !slices.Contains(want, got) {
		c.Errorf("got error %v, want %v", err, want)
	}
}

// Is compares two values.
func Is[V comparable](c *C, what string, got, want V) {
	c.Helper()
	if got != want {
		c.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// Write makes a file with mode 0644.
func (c *C) Write(name, data string) {
	c.Helper()
	c.OK(os.WriteFile(c.P(name), []byte(data), 0o644))
}

// Has wants a file with exactly this content.
func (c *C) Has(name, data string) {
	c.Helper()
	b, err := os.ReadFile(c.P(name))
	if err != nil {
		c.Error(err)
	} else if !bytes.Equal(b, []byte(data)) {
		c.Errorf("%s holds %.60q (%d bytes), want %.60q (%d)", name, b, len(b), data, len(data))
	}
}

// None wants a name not to exist.
func (c *C) None(name string) {
	c.Helper()
	if _, err := os.Lstat(c.P(name)); !errors.Is(err, os.ErrNotExist) {
		c.Errorf("%s exists (%v)", name, err)
	}
}

// Mkdir makes a directory.
func (c *C) Mkdir(name string) { c.Helper(); c.OK(os.MkdirAll(c.P(name), 0o755)) }

// Stat is lstat(2).
func (c *C) Stat(name string) unix.Stat_t {
	c.Helper()
	var st unix.Stat_t
	c.OK(unix.Lstat(c.P(name), &st))
	return st
}

// Names wants a directory to hold exactly these names.
func (c *C) Names(dir string, want ...string) {
	c.Helper()
	es, err := os.ReadDir(c.P(dir))
	c.OK(err)
	var got []string
	for _, e := range es {
		got = append(got, e.Name())
	}
	slices.Sort(want)
	if strings.Join(got, "\x00") != strings.Join(want, "\x00") {
		c.Errorf("%q holds %q, want %q", dir, got, want)
	}
}

// Open opens and closes at the end of the case.
func (c *C) Open(name string, flags int) int {
	c.Helper()
	fd, err := unix.Open(c.P(name), flags|unix.O_CLOEXEC, 0o644)
	if err != nil {
		c.Fatalf("open %s: %v", name, err)
	}
	c.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// operations are calls with one path, for the cases that are alike for all.
func operations() map[string]func(c *C, path string) error {
	return map[string]func(c *C, path string) error{
		"open": func(_ *C, p string) error { return closing(unix.Open(p, unix.O_RDONLY, 0)) },
		"create": func(_ *C, p string) error {
			return closing(unix.Open(p, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o644))
		},
		"mkdir":    func(_ *C, p string) error { return unix.Mkdir(p, 0o755) },
		"rmdir":    func(_ *C, p string) error { return unix.Rmdir(p) },
		"unlink":   func(_ *C, p string) error { return unix.Unlink(p) },
		"rename":   func(c *C, p string) error { return unix.Rename(p, c.P("renamed")) },
		"renameTo": func(c *C, p string) error { c.Write("source", ""); return unix.Rename(c.P("source"), p) },
		"link":     func(c *C, p string) error { return unix.Link(p, c.P("linked")) },
		"symlink":  func(_ *C, p string) error { return unix.Symlink("x", p) },
		"truncate": func(_ *C, p string) error { return unix.Truncate(p, 0) },
		"chmod":    func(_ *C, p string) error { return unix.Chmod(p, 0o600) },
		"stat":     func(_ *C, p string) error { var st unix.Stat_t; return unix.Stat(p, &st) },
		"lstat":    func(_ *C, p string) error { var st unix.Stat_t; return unix.Lstat(p, &st) },
		"readlink": func(_ *C, p string) error { _, err := unix.Readlink(p, make([]byte, 10)); return err },
		"utimes":   func(_ *C, p string) error { return unix.UtimesNanoAt(unix.AT_FDCWD, p, make([]unix.Timespec, 2), 0) },
		"mkfifo":   func(_ *C, p string) error { return unix.Mkfifo(p, 0o600) },
		"access":   func(_ *C, p string) error { return unix.Access(p, unix.F_OK) },
	}
}

func closing(fd int, err error) error {
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

// creating are the operations that make the path.
func creating(op string) bool {
	return slices.Contains([]string{"create", "mkdir", "renameTo", "symlink", "mkfifo"}, op)
}

// errorCases try every operation on paths that cannot work.
func errorCases() []Case {
	var l []Case
	for op, f := range operations() {
		l = append(
			l,
			Case{"error/missing-parent/" + op, func(c *C) { c.Errno(f(c, c.P("no/x")), unix.ENOENT) }},
			Case{"error/file-as-parent/" + op, func(c *C) { c.Write("f", ""); c.Errno(f(c, c.P("f/x")), unix.ENOTDIR) }},
			Case{"error/name-too-long/" + op, func(c *C) { c.Errno(f(c, c.P(strings.Repeat("x", 256))), unix.ENAMETOOLONG) }},
			Case{"error/loop-as-parent/" + op, func(c *C) {
				c.OK(os.Symlink("l", c.P("l")))
				c.Errno(f(c, c.P("l/x")), unix.ELOOP)
			}},
		)
		if !creating(op) {
			l = append(l, Case{"error/missing/" + op, func(c *C) { c.Errno(f(c, c.P("no")), unix.ENOENT) }})
		} else if op != "renameTo" {
			l = append(l, Case{"error/exists/" + op, func(c *C) { c.Write("f", "x"); c.Errno(f(c, c.P("f")), unix.EEXIST); c.Has("f", "x") }})
		}
	}
	slices.SortFunc(l, func(a, b Case) int { return strings.Compare(a.Name, b.Name) })
	return l
}

var openCases = []Case{
	{"open/excl-on-dangling-link", func(c *C) {
		c.OK(os.Symlink("no", c.P("l")))
		_, err := unix.Open(c.P("l"), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644)
		c.Errno(err, unix.EEXIST)
		c.None("no")
	}},
	{"open/create-through-dangling-link", func(c *C) {
		c.OK(os.Symlink("target", c.P("l")))
		c.Write("l", "x")
		c.Has("target", "x")
	}},
	{"open/trunc", func(c *C) { c.Write("f", "long"); c.Open("f", unix.O_WRONLY|unix.O_TRUNC); c.Has("f", "") }},
	{"open/create-without-excl-keeps", func(c *C) { c.Write("f", "x"); c.Open("f", unix.O_RDWR|unix.O_CREAT); c.Has("f", "x") }},
	{"open/directory-on-file", func(c *C) {
		c.Write("f", "")
		c.Errno(closing(unix.Open(c.P("f"), unix.O_DIRECTORY, 0)), unix.ENOTDIR)
	}},
	{"open/nofollow", func(c *C) {
		c.Write("f", "")
		c.OK(os.Symlink("f", c.P("l")))
		c.Errno(closing(unix.Open(c.P("l"), unix.O_NOFOLLOW, 0)), unix.ELOOP)
	}},
	{"open/directory-for-writing", func(c *C) { c.Errno(closing(unix.Open(c.Dir, unix.O_WRONLY, 0)), unix.EISDIR) }},
	{"open/create-on-directory", func(c *C) {
		c.Mkdir("d")
		c.Errno(closing(unix.Open(c.P("d"), unix.O_CREAT|unix.O_RDWR, 0o644)), unix.EISDIR)
	}},
	{"open/write-on-read-only", func(c *C) {
		c.Write("f", "x")
		_, err := unix.Write(c.Open("f", unix.O_RDONLY), []byte("y"))
		c.Errno(err, unix.EBADF)
	}},
	{"open/read-on-write-only", func(c *C) {
		c.Write("f", "x")
		_, err := unix.Read(c.Open("f", unix.O_WRONLY), make([]byte, 1))
		c.Errno(err, unix.EBADF)
	}},
	{"open/read-of-directory", func(c *C) {
		c.Mkdir("d")
		_, err := unix.Read(c.Open("d", unix.O_RDONLY), make([]byte, 1))
		c.Errno(err, unix.EISDIR)
	}},
	{"open/mode-0444-create-writes", func(c *C) {
		fd, err := unix.Open(c.P("f"), unix.O_CREAT|unix.O_WRONLY|unix.O_EXCL, 0o444)
		c.OK(err)
		_, err = unix.Write(fd, []byte("x"))
		c.OK(err)
		c.OK(unix.Close(fd))
		c.Has("f", "x")
		Is(c, "mode", c.Stat("f").Mode&0o777, 0o444)
	}},
	{"open/path-descriptor", func(c *C) {
		c.Write("f", "xyz")
		var st unix.Stat_t
		c.OK(unix.Fstat(c.Open("f", unix.O_PATH), &st))
		Is(c, "size", st.Size, 3)
	}},
	{"open/beneath-dirfd", func(c *C) {
		c.Mkdir("d")
		c.Write("d/f", "x")
		c.OK(closing(unix.Openat(c.Open("d", unix.O_DIRECTORY), "f", unix.O_RDONLY, 0)))
	}},
	{"open/tmpfile", func(c *C) {
		fd, err := unix.Open(c.Dir, unix.O_TMPFILE|unix.O_RDWR, 0o600)
		if err != nil {
			c.Errno(err, unix.EOPNOTSUPP, unix.EISDIR)
			return
		}
		_, err = unix.Write(fd, []byte("x"))
		c.OK(err)
		c.OK(unix.Close(fd))
		c.Names(".")
	}},
	{"open/trailing-slash-on-file", func(c *C) {
		c.Write("f", "")
		c.Errno(closing(unix.Open(c.P("f")+"/", unix.O_RDONLY, 0)), unix.ENOTDIR)
	}},
}

func fmtName(i int) string { return fmt.Sprintf("name-%05d", i) }
