package fstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// Shell runs a line of sh in the case's directory.
func (c *C) Shell(line string) {
	c.Helper()
	cmd := exec.Command("/bin/sh", "-ec", line)
	cmd.Dir = c.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		c.Errorf("%s: %v\n%s", line, err, out)
	}
}

// each runs f n times at once and reports the first error of each.
func (c *C) each(n int, f func(i int) error) {
	c.Helper()
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		c.Error(err)
	}
}

// threadCases have several threads of one process.
var threadCases = []Case{
	{"threads/exclusive-create", func(c *C) {
		for round := range 20 {
			var won atomic.Int32
			c.each(8, func(int) error {
				err := closing(unix.Open(c.P(fmtName(round)), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o600))
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, unix.EEXIST) {
					return err
				}
				return nil
			})
			Is(c, "winners", won.Load(), 1)
		}
	}},
	{"threads/mkdir", func(c *C) {
		var won atomic.Int32
		c.each(8, func(int) error {
			if unix.Mkdir(c.P("d"), 0o700) == nil {
				won.Add(1)
			}
			return nil
		})
		Is(c, "winners", won.Load(), 1)
	}},
	{"threads/rename-of-one", func(c *C) {
		c.Write("a", "x")
		var won atomic.Int32
		c.each(8, func(i int) error {
			if unix.Rename(c.P("a"), c.P(fmtName(i))) == nil {
				won.Add(1)
			}
			return nil
		})
		Is(c, "winners", won.Load(), 1)
		es, _ := os.ReadDir(c.Dir)
		Is(c, "names", len(es), 1)
	}},
	{"threads/replace-is-atomic", func(c *C) {
		a, b := strings.Repeat("a", 8000), strings.Repeat("b", 8000)
		c.Write("f", a)
		var stop atomic.Bool
		c.each(3, func(i int) error {
			if i == 0 {
				defer stop.Store(true)
				for k := range 200 {
					if err := os.WriteFile(c.P("t"), []byte([]string{a, b}[k%2]), 0o600); err != nil {
						return err
					}
					if err := os.Rename(c.P("t"), c.P("f")); err != nil {
						return err
					}
				}
				return nil
			}
			for !stop.Load() {
				got, err := os.ReadFile(c.P("f"))
				if err != nil {
					return err
				}
				if s := string(got); s != a && s != b {
					return fmt.Errorf("torn file of %d bytes", len(s))
				}
			}
			return nil
		})
	}},
	{"threads/create-and-remove", func(c *C) {
		c.each(8, func(i int) error {
			for k := range 100 {
				p := c.P(fmt.Sprintf("%d-%d", i, k%7))
				if err := os.WriteFile(p, []byte("x"), 0o600); err != nil {
					return err
				}
				if err := os.Remove(p); err != nil {
					return err
				}
			}
			return nil
		})
		c.Names(".")
	}},
	{"threads/distinct-files", func(c *C) {
		c.each(8, func(i int) error {
			want := strings.Repeat(fmtName(i), 5000)
			if err := os.WriteFile(c.P(fmtName(i)), []byte(want), 0o600); err != nil {
				return err
			}
			got, err := os.ReadFile(c.P(fmtName(i)))
			if err == nil && string(got) != want {
				err = errors.New("another file's data")
			}
			return err
		})
	}},
	{"threads/list-while-changing", func(c *C) {
		for i := range 100 {
			c.Write("keep"+fmtName(i), "")
		}
		c.each(4, func(i int) error {
			for k := range 50 {
				p := c.P(fmt.Sprintf("x%d-%d", i, k))
				if i%2 == 0 {
					if err := os.WriteFile(p, nil, 0o600); err != nil {
						return err
					}
					continue
				}
				es, err := os.ReadDir(c.Dir)
				if err != nil {
					return err
				}
				kept := 0
				for _, e := range es {
					if strings.HasPrefix(e.Name(), "keep") {
						kept++
					}
				}
				if kept != 100 {
					return fmt.Errorf("%d of 100 names that never changed are listed", kept)
				}
			}
			return nil
		})
	}},
	{"threads/parents-at-once", func(c *C) {
		c.each(8, func(i int) error {
			d := c.P("a/b/c/d/e")
			if err := os.MkdirAll(d, 0o755); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(d, fmtName(i)), nil, 0o600)
		})
		es, _ := os.ReadDir(c.P("a/b/c/d/e"))
		Is(c, "names", len(es), 8)
	}},
	{"threads/directory-renamed-under-writers", func(c *C) {
		c.Mkdir("d0")
		var made atomic.Int32
		c.each(4, func(i int) error {
			for k := range 60 {
				if i == 0 {
					if err := os.Rename(c.P(fmt.Sprintf("d%d", k)), c.P(fmt.Sprintf("d%d", k+1))); err != nil {
						return err
					}
					continue
				}
				err := os.WriteFile(c.P(fmt.Sprintf("d%d/f%d-%d", k, i, k)), nil, 0o600)
				if err == nil {
					made.Add(1)
				} else if !errors.Is(err, unix.ENOENT) {
					return err
				}
			}
			return nil
		})
		es, _ := os.ReadDir(c.P("d60"))
		Is(c, "files that survive", len(es), int(made.Load()))
	}},
}
