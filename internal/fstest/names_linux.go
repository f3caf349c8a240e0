package fstest

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

var dirCases = []Case{
	{"dir/mkdir-mode", func(c *C) {
		c.OK(unix.Mkdir(c.P("d"), 0o711))
		Is(c, "mode", c.Stat("d").Mode, unix.S_IFDIR|0o711)
	}},
	{"dir/rmdir", func(c *C) { c.Mkdir("d"); c.OK(unix.Rmdir(c.P("d"))); c.None("d") }},
	{"dir/rmdir-not-empty", func(c *C) { c.Mkdir("d/e"); c.Errno(unix.Rmdir(c.P("d")), unix.ENOTEMPTY, unix.EEXIST) }},
	{"dir/rmdir-of-file", func(c *C) { c.Write("f", ""); c.Errno(unix.Rmdir(c.P("f")), unix.ENOTDIR) }},
	{"dir/rmdir-of-link", func(c *C) { c.Mkdir("d"); c.OK(os.Symlink("d", c.P("l"))); c.Errno(unix.Rmdir(c.P("l")), unix.ENOTDIR) }},
	{"dir/rmdir-dot", func(c *C) { c.Mkdir("d"); c.Errno(unix.Rmdir(c.P("d")+"/."), unix.EINVAL) }},
	{"dir/unlink-of-directory", func(c *C) { c.Mkdir("d"); c.Errno(unix.Unlink(c.P("d")), unix.EISDIR, unix.EPERM) }},
	{"dir/mkdir-over-link", func(c *C) {
		c.OK(os.Symlink("no", c.P("l")))
		c.Errno(unix.Mkdir(c.P("l"), 0o755), unix.EEXIST)
		c.None("no")
	}},
	{"dir/mkdir-trailing-slash", func(c *C) { c.OK(unix.Mkdir(c.P("d")+"/", 0o755)); c.Names(".", "d") }},
	{"dir/two-thousand-names", func(c *C) {
		var want []string
		for i := range 2000 {
			want = append(want, fmtName(i))
			c.Write(fmtName(i), "")
		}
		c.Names(".", want...)
	}},
	{"dir/types-of-entries", func(c *C) {
		c.Write("f", "")
		c.Mkdir("d")
		c.OK(os.Symlink("f", c.P("l")))
		c.OK(unix.Mkfifo(c.P("p"), 0o600))
		es, err := os.ReadDir(c.Dir)
		c.OK(err)
		for _, e := range es {
			i, err := e.Info()
			c.OK(err)
			Is(c, e.Name(), e.Type(), i.Mode().Type())
		}
	}},
	{"dir/inode-of-entry-agrees", func(c *C) {
		c.Write("f", "")
		es, err := os.ReadDir(c.Dir)
		c.OK(err)
		Is(c, "entries", len(es), 1)
	}},
	{"dir/rewind-sees-new", func(c *C) {
		c.Write("a", "")
		f, err := os.Open(c.Dir)
		c.OK(err)
		defer func() { _ = f.Close() }()
		_, err = f.Readdirnames(-1)
		c.OK(err)
		c.Write("b", "")
		_, err = f.Seek(0, 0)
		c.OK(err)
		names, err := f.Readdirnames(-1)
		c.OK(err)
		Is(c, "names", len(names), 2)
	}},
	{"dir/remove-while-reading", func(c *C) {
		for i := range 500 {
			c.Write(fmtName(i), "")
		}
		f, err := os.Open(c.Dir)
		c.OK(err)
		defer func() { _ = f.Close() }()
		seen := 0
		for {
			names, err := f.Readdirnames(50)
			if err != nil {
				break
			}
			for _, n := range names {
				c.OK(os.Remove(c.P(n)))
				seen++
			}
		}
		Is(c, "names seen", seen, 500)
		c.Names(".")
	}},
	{"dir/remove-all", func(c *C) {
		for i := range 20 {
			c.Mkdir(filepath.Join("t", fmtName(i), "x/y"))
			c.Write(filepath.Join("t", fmtName(i), "x/f"), "data")
		}
		c.OK(os.RemoveAll(c.P("t")))
		c.Names(".")
	}},
	{"dir/removed-directory-is-dead", func(c *C) {
		c.Mkdir("d")
		fd := c.Open("d", unix.O_DIRECTORY)
		c.OK(unix.Rmdir(c.P("d")))
		c.Errno(closing(unix.Openat(fd, "f", unix.O_CREAT|unix.O_WRONLY, 0o644)), unix.ENOENT)
	}},
	{"dir/a-hundred-deep", func(c *C) {
		p := strings.Repeat("d/", 100)
		c.Mkdir(p)
		c.Write(p+"f", "deep")
		c.Has(p+"f", "deep")
	}},
	{"dir/dot-dot", func(c *C) {
		c.Mkdir("a/b")
		var st unix.Stat_t
		c.OK(unix.Stat(c.P("a")+"/b/..", &st))
		Is(c, "inode", st.Ino, c.Stat("a").Ino)
	}},
	{"dir/inodes-differ", func(c *C) {
		seen := map[uint64]bool{}
		for i := range 200 {
			c.Write(fmtName(i), "")
			seen[c.Stat(fmtName(i)).Ino] = true
		}
		Is(c, "inodes", len(seen), 200)
	}},
	{"dir/inode-is-stable", func(c *C) {
		c.Write("f", "")
		a := c.Stat("f").Ino
		c.Write("f", "changed")
		c.OK(os.Chmod(c.P("f"), 0o600))
		Is(c, "inode", c.Stat("f").Ino, a)
	}},
	{"dir/missing-then-made", func(c *C) {
		for range 3 {
			c.None("f")
			c.Write("f", "x")
			c.Has("f", "x")
			c.OK(os.Remove(c.P("f")))
		}
	}},
	{"dir/file-becomes-directory", func(c *C) {
		c.Write("x", "")
		c.OK(os.Remove(c.P("x")))
		c.Mkdir("x")
		c.Write("x/f", "1")
		c.OK(os.RemoveAll(c.P("x")))
		c.Write("x", "2")
		c.Has("x", "2")
	}},
	{"names/every-byte", func(c *C) {
		for b := 1; b < 256; b++ {
			if b == '/' {
				continue
			}
			n := "n" + string([]byte{byte(b)}) + "n"
			c.Write(n, "x")
			c.Has(n, "x")
		}
		es, err := os.ReadDir(c.Dir)
		c.OK(err)
		Is(c, "names", len(es), 254)
	}},
	{"names/longest", func(c *C) { n := strings.Repeat("x", 255); c.Write(n, "x"); c.Names(".", n) }},
	{"names/odd", func(c *C) {
		odd := []string{" ", "-rf", "...", "a ", "a.", "\n", "\x1b[31m", "ü", "u\u0308", "CON", "a:b", `a\b`, "*"}
		for _, n := range odd {
			c.Write(n, n)
		}
		c.Names(".", odd...)
		for _, n := range odd {
			c.Has(n, n)
		}
	}},
	{"names/case-matters", func(c *C) { c.Write("a", "1"); c.Write("A", "2"); c.Has("a", "1"); c.Has("A", "2") }},
}

func mv(c *C, a, b string) error { return unix.Rename(c.P(a), c.P(b)) }

var renameCases = []Case{
	{"rename/file", func(c *C) {
		c.Write("a", "x")
		ino := c.Stat("a").Ino
		c.OK(mv(c, "a", "b"))
		c.None("a")
		c.Has("b", "x")
		Is(c, "inode", c.Stat("b").Ino, ino)
	}},
	{"rename/replaces-file", func(c *C) {
		c.Write("a", "1")
		c.Write("b", "2")
		c.OK(mv(c, "a", "b"))
		c.Has("b", "1")
		c.Names(".", "b")
	}},
	{"rename/to-other-directory", func(c *C) {
		c.Mkdir("d")
		c.Write("a", "1")
		c.OK(mv(c, "a", "d/b"))
		c.Has("d/b", "1")
		c.Names(".", "d")
	}},
	{"rename/directory-with-content", func(c *C) {
		c.Mkdir("a/x/y")
		c.Write("a/x/f", "1")
		c.OK(mv(c, "a", "b"))
		c.Has("b/x/f", "1")
		c.Write("b/x/y/g", "2")
		c.Names(".", "b")
	}},
	{"rename/directory-to-other-parent", func(c *C) {
		c.Mkdir("a/x")
		c.Mkdir("b")
		c.OK(mv(c, "a/x", "b/x"))
		var st unix.Stat_t
		c.OK(unix.Stat(c.P("b")+"/x/..", &st))
		Is(c, "parent", st.Ino, c.Stat("b").Ino)
	}},
	{"rename/over-empty-directory", func(c *C) { c.Mkdir("a"); c.Write("a/f", "1"); c.Mkdir("b"); c.OK(mv(c, "a", "b")); c.Has("b/f", "1") }},
	{"rename/over-full-directory", func(c *C) { c.Mkdir("a"); c.Mkdir("b/x"); c.Errno(mv(c, "a", "b"), unix.ENOTEMPTY, unix.EEXIST) }},
	{"rename/file-over-directory", func(c *C) { c.Write("a", ""); c.Mkdir("b"); c.Errno(mv(c, "a", "b"), unix.EISDIR) }},
	{"rename/directory-over-file", func(c *C) { c.Mkdir("a"); c.Write("b", ""); c.Errno(mv(c, "a", "b"), unix.ENOTDIR) }},
	{"rename/into-itself", func(c *C) { c.Mkdir("a/b"); c.Errno(mv(c, "a", "a/b/c"), unix.EINVAL) }},
	{"rename/over-own-parent", func(c *C) { c.Mkdir("a/b"); c.Errno(mv(c, "a/b", "a"), unix.ENOTEMPTY, unix.EEXIST) }},
	{"rename/same-name", func(c *C) { c.Write("a", "x"); c.OK(mv(c, "a", "a")); c.Has("a", "x") }},
	{"rename/link-itself", func(c *C) {
		c.Write("f", "x")
		c.OK(os.Symlink("f", c.P("l")))
		c.OK(mv(c, "l", "m"))
		t, err := os.Readlink(c.P("m"))
		c.OK(err)
		Is(c, "target", t, "f")
		c.Has("f", "x")
	}},
	{"rename/over-link", func(c *C) {
		c.Write("f", "x")
		c.Write("g", "y")
		c.OK(os.Symlink("f", c.P("l")))
		c.OK(mv(c, "g", "l"))
		c.Has("f", "x")
		c.Has("l", "y")
		Is(c, "type", c.Stat("l").Mode&unix.S_IFMT, unix.S_IFREG)
	}},
	{"rename/noreplace", func(c *C) {
		c.Write("a", "1")
		c.Write("b", "2")
		err := unix.Renameat2(unix.AT_FDCWD, c.P("a"), unix.AT_FDCWD, c.P("b"), unix.RENAME_NOREPLACE)
		c.Errno(err, unix.EEXIST, unix.EINVAL)
		c.Has("a", "1")
		c.Has("b", "2")
		if err := unix.Renameat2(unix.AT_FDCWD, c.P("a"), unix.AT_FDCWD, c.P("c"), unix.RENAME_NOREPLACE); err != nil {
			c.Errno(err, unix.EINVAL)
			return
		}
		c.Has("c", "1")
	}},
	{"rename/exchange", func(c *C) {
		c.Write("a", "1")
		c.Write("b", "2")
		if err := unix.Renameat2(unix.AT_FDCWD, c.P("a"), unix.AT_FDCWD, c.P("b"), unix.RENAME_EXCHANGE); err != nil {
			c.Errno(err, unix.EINVAL)
			return
		}
		c.Has("a", "2")
		c.Has("b", "1")
	}},
	{"rename/dot", func(c *C) { c.Mkdir("d"); c.Errno(unix.Rename(c.P("d")+"/.", c.P("e")), unix.EBUSY, unix.EINVAL) }},
	{"rename/back-and-forth", func(c *C) {
		c.Write("a", "x")
		for range 50 {
			c.OK(mv(c, "a", "b"))
			c.OK(mv(c, "b", "a"))
		}
		c.Has("a", "x")
	}},
	{"rename/open-directory-follows", func(c *C) {
		c.Mkdir("a")
		fd := c.Open("a", unix.O_DIRECTORY)
		c.OK(mv(c, "a", "b"))
		c.OK(closing(unix.Openat(fd, "f", unix.O_CREAT|unix.O_WRONLY, 0o644)))
		c.Names("b", "f")
	}},
	{"rename/save-like-an-editor", func(c *C) {
		c.Write("f", "v0")
		for i := range 20 {
			c.Write("f.tmp", fmtName(i))
			c.OK(mv(c, "f.tmp", "f"))
			c.Has("f", fmtName(i))
		}
	}},
}
