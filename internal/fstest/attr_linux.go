package fstest

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func nano(t unix.Timespec) int64 { return t.Nano() }

// old sets both times of a name to long ago, so that a later change shows.
func (c *C) old(name string) {
	c.Helper()
	c.OK(os.Chtimes(c.P(name), time.Unix(1e9, 0), time.Unix(1e9, 0)))
}

// touches wants f to renew the modification time of a name.
func touches(name string, f func(c *C)) func(c *C) {
	return func(c *C) {
		c.Mkdir("d")
		c.Write("d/a", "x")
		c.old(name)
		f(c)
		if nano(c.Stat(name).Mtim) == 1e18 {
			c.Errorf("the modification time of %s did not change", name)
		}
	}
}

var attrCases = []Case{
	{"attr/chmod-all-bits", func(c *C) {
		c.Write("f", "")
		for m := uint32(0o400); m <= 0o777; m++ {
			c.OK(unix.Chmod(c.P("f"), m))
			Is(c, "mode", c.Stat("f").Mode&0o7777, m)
		}
	}},
	{"attr/fchmod", func(c *C) {
		fd := c.Open("f", unix.O_CREAT|unix.O_RDWR)
		c.OK(unix.Fchmod(fd, 0o640))
		Is(c, "mode", c.Stat("f").Mode&0o777, 0o640)
	}},
	{"attr/chmod-directory", func(c *C) {
		c.Mkdir("d")
		c.OK(unix.Chmod(c.P("d"), 0o700))
		Is(c, "mode", c.Stat("d").Mode&0o777, 0o700)
	}},
	{"attr/umask", func(c *C) {
		c.OK(closing(unix.Open(c.P("f"), unix.O_CREAT|unix.O_WRONLY, 0o666)))
		if m := c.Stat("f").Mode & 0o777; m&0o600 != 0o600 || m&0o111 != 0 {
			c.Errorf("mode %o", m)
		}
	}},
	{"attr/executable-on-create", func(c *C) {
		c.OK(closing(unix.Open(c.P("f"), unix.O_CREAT|unix.O_WRONLY, 0o700)))
		Is(c, "mode", c.Stat("f").Mode&0o777, 0o700)
	}},
	{"attr/executes", func(c *C) {
		c.OK(os.WriteFile(c.P("run"), []byte("#!/bin/sh\necho ran\n"), 0o755))
		c.Shell("./run > out")
		c.Has("out", "ran\n")
	}},
	{"attr/utimes-exact", func(c *C) {
		c.Write("f", "")
		ts := []unix.Timespec{{Sec: 1234567, Nsec: 123456789}, {Sec: 7654321, Nsec: 987654321}}
		c.OK(unix.UtimesNanoAt(unix.AT_FDCWD, c.P("f"), ts, 0))
		st := c.Stat("f")
		Is(c, "access time", nano(st.Atim), ts[0].Nano())
		Is(c, "modification time", nano(st.Mtim), ts[1].Nano())
	}},
	{"attr/utimes-omit", func(c *C) {
		c.Write("f", "")
		c.old("f")
		c.OK(unix.UtimesNanoAt(unix.AT_FDCWD, c.P("f"), []unix.Timespec{{Sec: 5}, {Nsec: unix.UTIME_OMIT}}, 0))
		Is(c, "modification time", nano(c.Stat("f").Mtim), 1e18)
	}},
	{"attr/utimes-now", func(c *C) {
		c.Write("f", "")
		c.old("f")
		c.OK(unix.UtimesNanoAt(unix.AT_FDCWD, c.P("f"), []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_NOW}}, 0))
		if d := time.Since(time.Unix(0, nano(c.Stat("f").Mtim))); d < -time.Minute || d > time.Minute {
			c.Errorf("modification time is off by %v", d)
		}
	}},
	{"attr/utimes-of-link", func(c *C) {
		c.Write("f", "")
		c.old("f")
		c.OK(os.Symlink("f", c.P("l")))
		c.OK(unix.UtimesNanoAt(unix.AT_FDCWD, c.P("l"), []unix.Timespec{{Sec: 5}, {Sec: 5}}, unix.AT_SYMLINK_NOFOLLOW))
		Is(c, "target's time", nano(c.Stat("f").Mtim), 1e18)
		Is(c, "link's time", nano(c.Stat("l").Mtim), 5e9)
	}},
	{"attr/write-touches-file", touches("d/a", func(c *C) { c.put(c.Open("d/a", unix.O_WRONLY), "y") })},
	{"attr/truncate-touches-file", touches("d/a", func(c *C) { c.OK(os.Truncate(c.P("d/a"), 0)) })},
	{"attr/create-touches-directory", touches("d", func(c *C) { c.Write("d/b", "") })},
	{"attr/mkdir-touches-directory", touches("d", func(c *C) { c.Mkdir("d/b") })},
	{"attr/unlink-touches-directory", touches("d", func(c *C) { c.OK(os.Remove(c.P("d/a"))) })},
	{"attr/rename-touches-directory", touches("d", func(c *C) { c.OK(os.Rename(c.P("d/a"), c.P("d/b"))) })},
	{"attr/symlink-touches-directory", touches("d", func(c *C) { c.OK(os.Symlink("a", c.P("d/b"))) })},
	{"attr/read-keeps-mtime", func(c *C) {
		c.Write("f", "x")
		c.old("f")
		c.Has("f", "x")
		Is(c, "time", nano(c.Stat("f").Mtim), 1e18)
	}},
	{"attr/rename-keeps-mtime", func(c *C) {
		c.Write("f", "x")
		c.old("f")
		c.OK(os.Rename(c.P("f"), c.P("g")))
		Is(c, "time", nano(c.Stat("g").Mtim), 1e18)
	}},
	{"attr/chmod-keeps-mtime", func(c *C) {
		c.Write("f", "x")
		c.old("f")
		c.OK(os.Chmod(c.P("f"), 0o600))
		Is(c, "time", nano(c.Stat("f").Mtim), 1e18)
	}},
	{"attr/chmod-changes-ctime", func(c *C) {
		c.Write("f", "x")
		a := nano(c.Stat("f").Ctim)
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); { // until the clock of the file system ticks
			c.OK(os.Chmod(c.P("f"), 0o600))
			if nano(c.Stat("f").Ctim) > a {
				return
			}
		}
		c.Error("the change time did not change")
	}},
	{"attr/owner-is-caller", func(c *C) {
		c.Write("f", "")
		st := c.Stat("f")
		Is(c, "uid", int(st.Uid), os.Geteuid())
		c.OK(os.Chown(c.P("f"), os.Geteuid(), -1))
	}},
	{"attr/fstat-equals-stat", func(c *C) {
		c.Write("f", "xyz")
		var st unix.Stat_t
		c.OK(unix.Fstat(c.Open("f", unix.O_RDONLY), &st))
		o := c.Stat("f")
		Is(c, "inode", st.Ino, o.Ino)
		Is(c, "size", st.Size, o.Size)
		Is(c, "mode", st.Mode, o.Mode)
		Is(c, "device", st.Dev, o.Dev)
	}},
	{"attr/blocks-of-data", func(c *C) {
		fd := c.Open("f", unix.O_CREAT|unix.O_WRONLY)
		c.put(fd, string(make([]byte, 1<<20)))
		c.OK(unix.Fsync(fd))
		if b := c.Stat("f").Blocks; b == 0 {
			c.Error("a megabyte has no blocks")
		}
	}},
	{"attr/statfs", func(c *C) {
		var s unix.Statfs_t
		c.OK(unix.Statfs(c.Dir, &s))
		if s.Bsize <= 0 || s.Blocks == 0 || s.Namelen < 255 {
			c.Errorf("statfs: %+v", s)
		}
	}},
	{"attr/xattr", func(c *C) {
		c.Write("f", "")
		err := unix.Setxattr(c.P("f"), "user.k", []byte("v"), 0)
		if err != nil {
			c.Errno(err, unix.EOPNOTSUPP, unix.ENOSYS, unix.EPERM)
			return
		}
		b := make([]byte, 10)
		n, err := unix.Getxattr(c.P("f"), "user.k", b)
		c.OK(err)
		Is(c, "value", string(b[:n]), "v")
		c.Errno(unix.Setxattr(c.P("f"), "user.k", nil, unix.XATTR_CREATE), unix.EEXIST)
		c.OK(unix.Removexattr(c.P("f"), "user.k"))
		_, err = unix.Getxattr(c.P("f"), "user.k", b)
		c.Errno(err, unix.ENODATA)
	}},
}

var specialCases = []Case{
	{"special/fifo", func(c *C) {
		c.OK(unix.Mkfifo(c.P("p"), 0o600))
		fd := c.Open("p", unix.O_RDWR)
		c.put(fd, "x")
		Is(c, "data", c.get(fd, 1), "x")
	}},
	{"special/socket", func(c *C) {
		dir := c.Open(".", unix.O_DIRECTORY) // short enough for sun_path, however long the directory's path is
		s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		c.OK(err)
		defer func() { _ = unix.Close(s) }()
		addr := &unix.SockaddrUnix{Name: fdPath(dir) + "/s"}
		c.OK(unix.Bind(s, addr))
		c.OK(unix.Listen(s, 1))
		Is(c, "type", c.Stat("s").Mode&unix.S_IFMT, unix.S_IFSOCK)
		k, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		c.OK(err)
		defer func() { _ = unix.Close(k) }()
		c.OK(unix.Connect(k, addr))
	}},
	{"special/flock-excludes", func(c *C) {
		a, b := c.Open("f", unix.O_CREAT|unix.O_RDWR), c.Open("f", unix.O_RDWR)
		c.OK(unix.Flock(a, unix.LOCK_EX))
		c.Errno(unix.Flock(b, unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
		c.OK(unix.Flock(a, unix.LOCK_UN))
		c.OK(unix.Flock(b, unix.LOCK_EX|unix.LOCK_NB))
	}},
	{"special/flock-shared", func(c *C) {
		a, b := c.Open("f", unix.O_CREAT|unix.O_RDWR), c.Open("f", unix.O_RDWR)
		c.OK(unix.Flock(a, unix.LOCK_SH))
		c.OK(unix.Flock(b, unix.LOCK_SH|unix.LOCK_NB))
		c.Errno(unix.Flock(a, unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
	}},
	{"special/flock-ends-with-close", func(c *C) {
		b := c.Open("f", unix.O_CREAT|unix.O_RDWR)
		a, err := unix.Open(c.P("f"), unix.O_RDWR, 0)
		c.OK(err)
		c.OK(unix.Flock(a, unix.LOCK_EX))
		c.OK(unix.Close(a))
		c.OK(unix.Flock(b, unix.LOCK_EX|unix.LOCK_NB))
	}},
	{"special/record-locks", func(c *C) {
		a, b := c.Open("f", unix.O_CREAT|unix.O_RDWR), c.Open("f", unix.O_RDWR)
		lock := func(fd int, typ int16, from, n int64) error {
			return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: typ, Start: from, Len: n})
		}
		c.OK(lock(a, unix.F_WRLCK, 0, 10))
		c.Errno(lock(b, unix.F_WRLCK, 5, 1), unix.EAGAIN, unix.EACCES)
		c.OK(lock(b, unix.F_WRLCK, 10, 5))
		c.OK(lock(a, unix.F_UNLCK, 0, 10))
		c.OK(lock(b, unix.F_WRLCK, 5, 1))
	}},
	{"special/lease-of-git-lock-file", func(c *C) {
		c.Write("ref", "old")
		fd, err := unix.Open(c.P("ref.lock"), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o666)
		c.OK(err)
		_, err = unix.Open(c.P("ref.lock"), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o666)
		c.Errno(err, unix.EEXIST)
		c.put(fd, "new")
		c.OK(unix.Close(fd))
		c.OK(unix.Rename(c.P("ref.lock"), c.P("ref")))
		c.Has("ref", "new")
	}},
}

// permissionCases hold for an ordinary user only.
var permissionCases = []Case{
	{"permission/unreadable-file", func(c *C) {
		c.Write("f", "x")
		c.OK(os.Chmod(c.P("f"), 0))
		c.Errno(closing(unix.Open(c.P("f"), unix.O_RDONLY, 0)), unix.EACCES)
	}},
	{"permission/read-only-file", func(c *C) {
		c.Write("f", "x")
		c.OK(os.Chmod(c.P("f"), 0o400))
		c.Errno(closing(unix.Open(c.P("f"), unix.O_WRONLY, 0)), unix.EACCES)
		c.Has("f", "x")
	}},
	{"permission/chown-to-other", func(c *C) { c.Write("f", ""); c.Errno(os.Chown(c.P("f"), 0, -1), unix.EPERM) }},
	{"permission/device", func(c *C) { c.Errno(unix.Mknod(c.P("n"), unix.S_IFCHR|0o600, 0x103), unix.EPERM) }},
	{"permission/not-executable", func(c *C) { c.Write("f", "#!/bin/sh\n"); c.Errno(unix.Access(c.P("f"), unix.X_OK), unix.EACCES) }},
}

// closedFolderCases too, where a folder can be closed to its owner.
var closedFolderCases = []Case{
	{"permission/read-only-directory", func(c *C) {
		c.Mkdir("d")
		c.Write("d/f", "")
		c.OK(os.Chmod(c.P("d"), 0o500))
		c.Errno(closing(unix.Open(c.P("d/g"), unix.O_CREAT|unix.O_WRONLY, 0o644)), unix.EACCES)
		c.Errno(unix.Unlink(c.P("d/f")), unix.EACCES)
		c.Errno(unix.Mkdir(c.P("d/e"), 0o755), unix.EACCES)
		c.Errno(unix.Rename(c.P("d/f"), c.P("g")), unix.EACCES)
	}},
	{"permission/closed-directory", func(c *C) {
		c.Mkdir("d")
		c.Write("d/f", "")
		c.OK(os.Chmod(c.P("d"), 0o600))
		c.Errno(closing(unix.Open(c.P("d/f"), unix.O_RDONLY, 0)), unix.EACCES)
	}},
	{"permission/unlistable-directory", func(c *C) {
		c.Mkdir("d")
		c.Write("d/f", "x")
		c.OK(os.Chmod(c.P("d"), 0o300))
		c.Errno(closing(unix.Open(c.P("d"), unix.O_RDONLY, 0)), unix.EACCES)
		c.Has("d/f", "x")
	}},
}
