package fstest

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func (c *C) put(fd int, s string) {
	c.Helper()
	n, err := unix.Write(fd, []byte(s))
	c.OK(err)
	Is(c, "bytes written", n, len(s))
}

func (c *C) get(fd, n int) string {
	c.Helper()
	b := make([]byte, n)
	k, err := unix.Read(fd, b)
	c.OK(err)
	return string(b[:k])
}

var dataCases = []Case{
	{"data/append-mode", func(c *C) {
		a, b := c.Open("f", unix.O_CREAT|unix.O_WRONLY|unix.O_APPEND), c.Open("f", unix.O_WRONLY|unix.O_APPEND)
		c.put(a, "1")
		c.put(b, "2")
		c.put(a, "3")
		c.Has("f", "123")
	}},
	{"data/append-after-other-writer", func(c *C) {
		fd := c.Open("f", unix.O_CREAT|unix.O_WRONLY|unix.O_APPEND)
		c.put(fd, "1")
		c.Write("f", "longer text")
		c.put(fd, "!")
		c.Has("f", "longer text!")
	}},
	{"data/hole-reads-zero", func(c *C) {
		fd := c.Open("f", unix.O_CREAT|unix.O_RDWR)
		_, err := unix.Pwrite(fd, []byte("x"), 100000)
		c.OK(err)
		c.Has("f", strings.Repeat("\x00", 100000)+"x")
	}},
	{"data/pread-pwrite", func(c *C) {
		fd := c.Open("f", unix.O_CREAT|unix.O_RDWR)
		c.put(fd, "0123456789")
		_, err := unix.Pwrite(fd, []byte("ab"), 3)
		c.OK(err)
		b := make([]byte, 4)
		_, err = unix.Pread(fd, b, 2)
		c.OK(err)
		Is(c, "data", string(b), "2ab5")
		Is(c, "offset untouched", c.get(fd, 1), "")
	}},
	{"data/big-random-writes", func(c *C) {
		r := rand.New(rand.NewPCG(3, 4))
		model := make([]byte, 3<<20)
		fd := c.Open("f", unix.O_CREAT|unix.O_RDWR)
		for range 200 {
			off, n := r.IntN(len(model)-70000), 1+r.IntN(70000)
			for i := range n {
				model[off+i] = byte(r.Uint32())
			}
			_, err := unix.Pwrite(fd, model[off:off+n], int64(off))
			c.OK(err)
		}
		b, err := os.ReadFile(c.P("f"))
		c.OK(err)
		if !bytes.Equal(b, model[:len(b)]) {
			c.Error("the file differs from what was written")
		}
	}},
	{"data/read-at-end", func(c *C) {
		c.Write("f", "x")
		fd := c.Open("f", unix.O_RDONLY)
		c.get(fd, 5)
		Is(c, "at end", c.get(fd, 5), "")
	}},
	{"data/grow-after-end-is-seen", func(c *C) {
		c.Write("f", "a")
		fd := c.Open("f", unix.O_RDONLY)
		c.get(fd, 5)
		c.put(c.Open("f", unix.O_WRONLY|unix.O_APPEND), "b")
		Is(c, "new data", c.get(fd, 5), "b")
	}},
	{"data/unlinked-but-open", func(c *C) {
		c.Write("f", "x")
		fd := c.Open("f", unix.O_RDWR)
		c.OK(os.Remove(c.P("f")))
		c.Names(".")
		c.put(fd, "yz")
		b := make([]byte, 3)
		n, err := unix.Pread(fd, b, 0)
		c.OK(err)
		Is(c, "data", string(b[:n]), "yz")
		var st unix.Stat_t
		c.OK(unix.Fstat(fd, &st))
		Is(c, "links", st.Nlink, 0)
	}},
	{"data/unlinked-and-made-anew", func(c *C) {
		c.Write("f", "old")
		fd := c.Open("f", unix.O_RDONLY)
		c.OK(os.Remove(c.P("f")))
		c.Write("f", "new")
		Is(c, "old data", c.get(fd, 9), "old")
		c.Has("f", "new")
	}},
	{"data/renamed-while-open", func(c *C) {
		c.Write("f", "")
		fd := c.Open("f", unix.O_WRONLY)
		c.OK(os.Rename(c.P("f"), c.P("g")))
		c.put(fd, "x")
		c.Has("g", "x")
		c.None("f")
	}},
	{"data/replaced-while-open", func(c *C) {
		c.Write("f", "old")
		c.Write("g", "new")
		fd := c.Open("f", unix.O_RDONLY)
		c.OK(os.Rename(c.P("g"), c.P("f")))
		Is(c, "old data", c.get(fd, 9), "old")
		c.Has("f", "new")
	}},
	{"data/truncate-shrinks", func(c *C) { c.Write("f", "12345"); c.OK(os.Truncate(c.P("f"), 2)); c.Has("f", "12") }},
	{"data/truncate-grows-with-zeros", func(c *C) {
		c.Write("f", "12345")
		c.OK(os.Truncate(c.P("f"), 2))
		c.OK(os.Truncate(c.P("f"), 6))
		c.Has("f", "12\x00\x00\x00\x00")
	}},
	{"data/ftruncate", func(c *C) {
		fd := c.Open("f", unix.O_CREAT|unix.O_RDWR)
		c.put(fd, "12345")
		c.OK(unix.Ftruncate(fd, 3))
		c.put(fd, "x")
		c.Has("f", "123\x00\x00x")
	}},
	{"data/ftruncate-read-only", func(c *C) {
		c.Write("f", "x")
		c.Errno(unix.Ftruncate(c.Open("f", unix.O_RDONLY), 0), unix.EINVAL, unix.EBADF)
		c.Has("f", "x")
	}},
	{"data/truncate-negative", func(c *C) { c.Write("f", "x"); c.Errno(unix.Truncate(c.P("f"), -1), unix.EINVAL) }},
	{"data/truncate-directory", func(c *C) { c.Mkdir("d"); c.Errno(unix.Truncate(c.P("d"), 0), unix.EISDIR) }},
	{"data/size-is-seen-at-once", func(c *C) {
		fd := c.Open("f", unix.O_CREAT|unix.O_WRONLY)
		for i := range 5 {
			c.put(fd, "ab")
			Is(c, "size", c.Stat("f").Size, int64(2*(i+1)))
		}
	}},
	{"data/two-descriptors-agree", func(c *C) {
		a, b := c.Open("f", unix.O_CREAT|unix.O_RDWR), c.Open("f", unix.O_RDWR)
		c.put(a, "hello")
		Is(c, "data", c.get(b, 9), "hello")
		_, err := unix.Pwrite(b, []byte("J"), 0)
		c.OK(err)
		x := make([]byte, 5)
		_, err = unix.Pread(a, x, 0)
		c.OK(err)
		Is(c, "data", string(x), "Jello")
	}},
	{"data/dup-shares-offset", func(c *C) {
		c.Write("f", "abcd")
		fd := c.Open("f", unix.O_RDONLY)
		d, err := unix.Dup(fd)
		c.OK(err)
		defer func() { _ = unix.Close(d) }()
		c.get(fd, 2)
		Is(c, "data", c.get(d, 2), "cd")
	}},
	{"data/seek", func(c *C) {
		c.Write("f", "abcdef")
		fd := c.Open("f", unix.O_RDONLY)
		off, err := unix.Seek(fd, -2, unix.SEEK_END)
		c.OK(err)
		Is(c, "offset", off, 4)
		Is(c, "data", c.get(fd, 9), "ef")
		_, err = unix.Seek(fd, -1, unix.SEEK_SET)
		c.Errno(err, unix.EINVAL)
	}},
	{"data/mmap-shared-read", func(c *C) {
		c.Write("f", "mapped")
		m, err := unix.Mmap(c.Open("f", unix.O_RDONLY), 0, 6, unix.PROT_READ, unix.MAP_SHARED)
		c.OK(err)
		Is(c, "data", string(m), "mapped")
		c.OK(unix.Munmap(m))
	}},
	{"data/mmap-shared-write", func(c *C) {
		c.Write("f", "mapped")
		m, err := unix.Mmap(c.Open("f", unix.O_RDWR), 0, 6, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		c.OK(err)
		m[0] = 'M'
		c.OK(unix.Msync(m, unix.MS_SYNC))
		c.OK(unix.Munmap(m))
		c.Has("f", "Mapped")
	}},
	{"data/mmap-private-write", func(c *C) {
		c.Write("f", "mapped")
		m, err := unix.Mmap(c.Open("f", unix.O_RDONLY), 0, 6, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
		c.OK(err)
		m[0] = 'M'
		c.OK(unix.Munmap(m))
		c.Has("f", "mapped")
	}},
	{"data/mmap-survives-close-and-unlink", func(c *C) {
		c.Write("f", "mapped")
		fd, err := unix.Open(c.P("f"), unix.O_RDONLY, 0)
		c.OK(err)
		m, err := unix.Mmap(fd, 0, 6, unix.PROT_READ, unix.MAP_SHARED)
		c.OK(err)
		c.OK(unix.Close(fd))
		c.OK(os.Remove(c.P("f")))
		Is(c, "data", string(m), "mapped")
		c.OK(unix.Munmap(m))
	}},
	{"data/fsync", func(c *C) {
		fd := c.Open("f", unix.O_CREAT|unix.O_WRONLY)
		c.put(fd, "x")
		c.OK(unix.Fsync(fd))
		c.OK(unix.Fdatasync(fd))
		c.OK(unix.Fsync(c.Open(".", unix.O_DIRECTORY)))
	}},
	{"data/fallocate", func(c *C) {
		fd := c.Open("f", unix.O_CREAT|unix.O_WRONLY)
		if err := unix.Fallocate(fd, 0, 0, 4096); err != nil {
			c.Errno(err, unix.EOPNOTSUPP)
			return
		}
		Is(c, "size", c.Stat("f").Size, 4096)
	}},
	{"data/copy-file-range", func(c *C) {
		c.Write("a", "copy me")
		n, err := unix.CopyFileRange(c.Open("a", unix.O_RDONLY), nil, c.Open("b", unix.O_CREAT|unix.O_WRONLY), nil, 7, 0)
		if err != nil {
			c.Errno(err, unix.EOPNOTSUPP, unix.EXDEV, unix.ENOSYS)
			return
		}
		Is(c, "bytes", n, 7)
		c.Has("b", "copy me")
	}},
	{"data/sendfile", func(c *C) {
		c.Write("a", "send me")
		n, err := unix.Sendfile(c.Open("b", unix.O_CREAT|unix.O_WRONLY), c.Open("a", unix.O_RDONLY), nil, 7)
		c.OK(err)
		Is(c, "bytes", n, 7)
		c.Has("b", "send me")
	}},
	{"data/vectors", func(c *C) {
		fd := c.Open("f", unix.O_CREAT|unix.O_RDWR)
		n, err := unix.Writev(fd, [][]byte{[]byte("ab"), nil, []byte("cde")})
		c.OK(err)
		Is(c, "bytes", n, 5)
		c.Has("f", "abcde")
	}},
	{"data/offset-beyond-4g", func(c *C) {
		fd := c.Open("f", unix.O_CREAT|unix.O_RDWR)
		const at = 5 << 30
		_, err := unix.Pwrite(fd, []byte("far"), at)
		c.OK(err)
		b := make([]byte, 3)
		_, err = unix.Pread(fd, b, at)
		c.OK(err)
		Is(c, "data", string(b), "far")
		Is(c, "size", c.Stat("f").Size, at+3)
	}},
	{"data/empty-write", func(c *C) { c.put(c.Open("f", unix.O_CREAT|unix.O_WRONLY), ""); c.Has("f", "") }},
}
