package fstest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// childEnv tells a started program which part of a case it plays.
const childEnv = "BELLJAR_FSTEST_CHILD"

// Child plays a part of a case in a program that [Options.Exe] names, and does
// not return then. Otherwise it does nothing.
func Child() {
	part := os.Getenv(childEnv)
	if part == "" {
		return
	}
	name, arg, _ := strings.Cut(part, ":")
	n, _ := strconv.Atoi(arg)
	if err := parts[name](n); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// parts run with the case's directory as the working directory.
var parts = map[string]func(n int) error{
	"append": func(n int) error {
		f, err := os.OpenFile("log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		for i := 0; err == nil && i < 200; i++ {
			_, err = fmt.Fprintf(f, "%d line %d of a log with some text\n", n, i)
		}
		return err
	},
	"excl": func(int) error {
		won := 0
		for i := range 50 {
			err := closing(unix.Open(fmtName(i), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o600))
			if err == nil {
				won++
			} else if !errors.Is(err, unix.EEXIST) {
				return err
			}
		}
		return os.WriteFile("won-"+strconv.Itoa(os.Getpid()), []byte(strconv.Itoa(won)), 0o600)
	},
	"posix-lock": func(int) error {
		return count(func(fd uintptr, typ int16) error {
			return unix.FcntlFlock(fd, unix.F_SETLKW, &unix.Flock_t{Type: typ})
		})
	},
	"flock": func(int) error {
		return count(func(fd uintptr, typ int16) error {
			how := unix.LOCK_EX
			if typ == unix.F_UNLCK {
				how = unix.LOCK_UN
			}
			return unix.Flock(int(fd), how)
		})
	},
	"lockfile": func(int) error {
		for range 20 {
			for closing(unix.Open("n.lock", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o600)) != nil {
				continue // another one holds it
			}
			b, err := os.ReadFile("n")
			if err != nil {
				return err
			}
			v, _ := strconv.Atoi(string(b))
			if err := os.WriteFile("n.lock", []byte(strconv.Itoa(v+1)), 0o600); err != nil {
				return err
			}
			if err := os.Rename("n.lock", "n"); err != nil {
				return err
			}
		}
		return nil
	},
	"tree": func(n int) error {
		for i := range 10 {
			d := fmt.Sprintf("p%d/%d", n, i)
			if err := os.MkdirAll(d, 0o700); err != nil {
				return err
			}
			if err := os.WriteFile(d+"/f", []byte(d), 0o600); err != nil {
				return err
			}
			if err := os.Rename(d, d+"-done"); err != nil {
				return err
			}
		}
		return os.RemoveAll(fmt.Sprintf("p%d", n))
	},
	"mmap": func(n int) error {
		f, err := os.OpenFile("m", os.O_RDWR, 0)
		if err != nil {
			return err
		}
		m, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return err
		}
		m[n] = byte('a' + n)
		return unix.Munmap(m)
	},
	"sequences": func(n int) error {
		names, err := filepath.Glob("s*")
		if err != nil {
			return err
		}
		unix.Umask(0o022)
		s := NewSequences(uint64(n), len(names))
		r := Report{Ended: s.Do(".")}
		if r.Tree, err = Look(".", s.Names()...); err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(r)
	},
}

// Report is what a program says that did [Sequences] in its working directory, to its
// standard output and as JSON.
type Report struct {
	Ended [][]string // as [Sequences.Do]
	Tree  []string   // as [Look]
}

// Part is the environment entry that makes a program, whose main calls [Child], do
// these sequences in its working directory, which Fill has filled. It prints a [Report].
func (s Sequences) Part() string { return fmt.Sprintf("%s=sequences:%d", childEnv, s.seed) }

// count adds one a hundred times under a lock.
func count(lock func(fd uintptr, typ int16) error) error {
	f, err := os.OpenFile("n", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	for range 100 {
		if err := lock(f.Fd(), unix.F_WRLCK); err != nil {
			return err
		}
		b := make([]byte, 20)
		k, _ := f.ReadAt(b, 0)
		v, _ := strconv.Atoi(string(bytes.TrimRight(b[:k], "\x00")))
		if _, err := f.WriteAt([]byte(strconv.Itoa(v+1)), 0); err != nil {
			return err
		}
		if err := lock(f.Fd(), unix.F_UNLCK); err != nil {
			return err
		}
	}
	return nil
}

// children starts four processes that play a part, and waits for them.
func (c *C) children(part string) {
	c.Helper()
	c.each(4, func(i int) error {
		cmd := exec.Command(c.Exe)
		cmd.Dir = c.Dir
		cmd.Env = append(os.Environ(), childEnv+"="+part+":"+strconv.Itoa(i))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", part, err, out)
		}
		return nil
	})
}

// processCases have several processes.
var processCases = []Case{
	{"processes/append", func(c *C) {
		c.children("append")
		b, err := os.ReadFile(c.P("log"))
		c.OK(err)
		seen := map[string]bool{}
		for l := range strings.Lines(string(b)) {
			if !strings.HasSuffix(l, "of a log with some text\n") || seen[l] {
				c.Fatalf("torn or doubled line %q", l)
			}
			seen[l] = true
		}
		Is(c, "lines", len(seen), 800)
	}},
	{"processes/exclusive-create", func(c *C) {
		c.children("excl")
		sum := 0
		files, _ := os.ReadDir(c.Dir)
		for _, f := range files {
			if strings.HasPrefix(f.Name(), "won-") {
				b, _ := os.ReadFile(c.P(f.Name()))
				n, _ := strconv.Atoi(string(b))
				sum += n
			}
		}
		Is(c, "files won", sum, 50)
	}},
	{"processes/posix-locks", func(c *C) { c.Write("n", "0"); c.children("posix-lock"); c.Has("n", "400") }},
	{"processes/flock", func(c *C) { c.Write("n", "0"); c.children("flock"); c.Has("n", "400") }},
	{"processes/lock-file", func(c *C) { c.Write("n", "0"); c.children("lockfile"); c.Has("n", "80") }},
	{"processes/trees", func(c *C) { c.children("tree"); c.Names(".") }},
	{"processes/shared-mapping", func(c *C) {
		c.Write("m", strings.Repeat("-", 4096))
		c.children("mmap")
		c.Has("m", "abcd"+strings.Repeat("-", 4092))
	}},
	{"processes/shell-at-work", func(c *C) {
		c.Shell(`mkdir -p src out; for i in 1 2 3 4 5 6 7 8; do echo "file $i" > src/$i; done
				cp -a src copy; mv copy out/; cat src/* > all; sed -i s/file/FILE/ all; ln -s ../all out/link; test "$(wc -l < out/link)" = 8
				tar cf t.tar src; rm -r src; tar xf t.tar; diff -r src out/copy`)
	}},
}
