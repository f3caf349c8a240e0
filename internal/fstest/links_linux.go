package fstest

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// hard makes a hard link, or accepts that the file system has none.
func hard(c *C, a, b string) bool {
	err := unix.Link(c.P(a), c.P(b))
	if err != nil {
		c.Errno(err, unix.EPERM, unix.EXDEV, unix.EOPNOTSUPP)
	}
	return err == nil
}

var linkCases = []Case{
	{"link/shares-content", func(c *C) {
		c.Write("a", "1")
		if !hard(c, "a", "b") {
			return
		}
		Is(c, "links", c.Stat("a").Nlink, 2)
		Is(c, "inode", c.Stat("a").Ino, c.Stat("b").Ino)
		c.put(c.Open("b", unix.O_WRONLY|unix.O_APPEND), "2")
		c.Has("a", "12")
		c.OK(os.Chmod(c.P("a"), 0o600))
		Is(c, "mode", c.Stat("b").Mode&0o777, 0o600)
		c.OK(os.Remove(c.P("a")))
		c.Has("b", "12")
		Is(c, "links", c.Stat("b").Nlink, 1)
	}},
	{"link/over-existing", func(c *C) {
		c.Write("a", "")
		c.Write("b", "x")
		c.Errno(unix.Link(c.P("a"), c.P("b")), unix.EEXIST)
		c.Has("b", "x")
	}},
	{"link/of-directory", func(c *C) { c.Mkdir("d"); c.Errno(unix.Link(c.P("d"), c.P("e")), unix.EPERM) }},
	{"link/does-not-follow", func(c *C) {
		c.OK(os.Symlink("no", c.P("l")))
		if hard(c, "l", "m") {
			Is(c, "type", c.Stat("m").Mode&unix.S_IFMT, unix.S_IFLNK)
		}
	}},
	{"link/rename-onto-itself-keeps-both", func(c *C) {
		c.Write("a", "x")
		if hard(c, "a", "b") {
			c.OK(unix.Rename(c.P("a"), c.P("b")))
			c.Names(".", "a", "b")
		}
	}},
	{"link/then-replace-one", func(c *C) {
		c.Write("a", "old")
		if !hard(c, "a", "b") {
			return
		}
		c.Write("t", "new")
		c.OK(unix.Rename(c.P("t"), c.P("a")))
		c.Has("a", "new")
		c.Has("b", "old")
	}},
	{"symlink/exact-text", func(c *C) {
		for i, s := range []string{"a", "../x", "/abs/olute", "with space\n", strings.Repeat("y", 1000), "a//b/."} {
			c.OK(os.Symlink(s, c.P(fmtName(i))))
			got, err := os.Readlink(c.P(fmtName(i)))
			c.OK(err)
			Is(c, "target", got, s)
			Is(c, "size", c.Stat(fmtName(i)).Size, int64(len(s)))
		}
	}},
	{"symlink/longest", func(c *C) {
		s := strings.Repeat("x", 4095)
		c.OK(os.Symlink(s, c.P("l")))
		got, err := os.Readlink(c.P("l"))
		c.OK(err)
		Is(c, "length", len(got), 4095)
	}},
	{"symlink/to-directory", func(c *C) { c.Mkdir("d"); c.OK(os.Symlink("d", c.P("l"))); c.Write("l/f", "x"); c.Has("d/f", "x") }},
	{"symlink/chain", func(c *C) {
		c.Write("f0", "end")
		for i := range 10 {
			c.OK(os.Symlink("f"+string(rune('0'+i)), c.P("f"+string(rune('1'+i)))))
		}
		c.Has("f:", "end")
	}},
	{"symlink/remove-keeps-target", func(c *C) {
		c.Write("f", "x")
		c.OK(os.Symlink("f", c.P("l")))
		c.OK(os.Remove(c.P("l")))
		c.Names(".", "f")
	}},
	{"symlink/loop", func(c *C) {
		c.OK(os.Symlink("b", c.P("a")))
		c.OK(os.Symlink("a", c.P("b")))
		c.Errno(closing(unix.Open(c.P("a"), unix.O_RDONLY, 0)), unix.ELOOP)
	}},
	{"symlink/readlink-of-file", func(c *C) {
		c.Write("f", "")
		_, err := unix.Readlink(c.P("f"), make([]byte, 9))
		c.Errno(err, unix.EINVAL)
	}},
	{"symlink/empty-target", func(c *C) { c.Errno(unix.Symlink("", c.P("l")), unix.ENOENT) }},
	{"symlink/replaced-by-file", func(c *C) {
		c.Write("f", "x")
		c.OK(os.Symlink("f", c.P("l")))
		c.OK(os.Remove(c.P("l")))
		c.Write("l", "y")
		c.Has("f", "x")
		c.Has("l", "y")
	}},
	{"symlink/retargeted", func(c *C) {
		c.Write("a", "1")
		c.Write("b", "2")
		c.OK(os.Symlink("a", c.P("l")))
		c.Has("l", "1")
		c.OK(os.Symlink("b", c.P("t")))
		c.OK(os.Rename(c.P("t"), c.P("l")))
		c.Has("l", "2")
	}},
}
