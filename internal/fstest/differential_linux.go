package fstest

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// diffNames are the components of the paths that [Differential] uses. Some have a
// meaning for the workspace view: inside, they must behave like any other.
var diffNames = []string{"a", "b", "c", "d", "Makefile", ".bashrc", ".vscode", ".env", "f.pem", "x y"}

// Differential does n random operations in a and the same in b, both empty
// directories, and compares results, errors and, now and then, the whole trees.
// Only a may answer EXDEV to a rename or a link that b could do; it is then
// skipped in b. A failure names the seed and the operation.
func Differential(t *testing.T, a, b string, seed uint64, n int) {
	t.Helper()
	d := &differ{r: rand.New(rand.NewPCG(seed, 42)), a: side{dir: a}, b: side{dir: b}}
	defer d.a.close()
	defer d.b.close()
	for i := range n {
		what, f := d.next()
		ra := f(&d.a)
		if strings.HasPrefix(ra, unix.EXDEV.Error()) {
			continue
		}
		if rb := f(&d.b); ra != rb {
			t.Fatalf("seed %d, operation %d, %s: %q and %q", seed, i, what, ra, rb)
		}
		if i%50 == 0 || i == n-1 {
			if ta, tb := tree(a), tree(b); ta != tb {
				t.Fatalf("seed %d, after operation %d, %s:\n%s\nand\n%s", seed, i, what, ta, tb)
			}
		}
	}
}

// side is one of the two directories with its open files.
type side struct {
	dir  string
	open [4]*os.File
}

func (s *side) close() {
	for _, f := range s.open {
		if f != nil {
			_ = f.Close()
		}
	}
}

func (s *side) p(rel string) string { return filepath.Join(s.dir, rel) }

type differ struct {
	r    *rand.Rand
	a, b side
}

func (d *differ) path() string {
	var p []string
	for range 1 + d.r.IntN(3) {
		p = append(p, diffNames[d.r.IntN(len(diffNames))])
	}
	return filepath.Join(p...)
}

// result is what two sides are compared by.
func result(err error, more ...any) string {
	var no unix.Errno
	switch {
	case errors.As(err, &no):
		return no.Error()
	case err != nil:
		return "error"
	}
	return fmt.Sprint(more...)
}

// next makes up an operation; all chance is used up before it is done.
func (d *differ) next() (string, func(s *side) string) {
	p, q := d.path(), d.path()
	data := strings.Repeat(string(rune('a'+d.r.IntN(26))), d.r.IntN(9000))
	slot, off := d.r.IntN(4), int64(d.r.IntN(12000))
	mode := os.FileMode(0o700 | d.r.IntN(0o100))
	switch k := d.r.IntN(20); k {
	case 0, 1, 2:
		return "write " + p, func(s *side) string { return result(os.WriteFile(s.p(p), []byte(data), 0o644)) }
	case 3, 4:
		return "mkdir " + p, func(s *side) string { return result(unix.Mkdir(s.p(p), 0o755)) }
	case 5:
		return "unlink " + p, func(s *side) string { return result(unix.Unlink(s.p(p))) }
	case 6:
		return "rmdir " + p, func(s *side) string { return result(unix.Rmdir(s.p(p))) }
	case 7, 8, 9:
		return "rename " + p + " to " + q, func(s *side) string { return result(unix.Rename(s.p(p), s.p(q))) }
	case 10:
		return "link " + p + " to " + q, func(s *side) string { return result(unix.Link(s.p(p), s.p(q))) }
	case 11:
		return "symlink " + p, func(s *side) string { return result(unix.Symlink("b", s.p(p))) }
	case 12:
		return "truncate " + p, func(s *side) string { return result(unix.Truncate(s.p(p), off)) }
	case 13:
		return "chmod " + p, func(s *side) string { return result(unix.Fchmodat(unix.AT_FDCWD, s.p(p), uint32(mode), 0)) }
	case 14:
		return "read " + p, func(s *side) string { b, err := os.ReadFile(s.p(p)); return result(err, string(b)) }
	case 15:
		return "list " + p, func(s *side) string { return list(s.p(p)) }
	}
	return d.onOpen(p, data, slot, off)
}

// onOpen are the operations on files that stay open.
func (d *differ) onOpen(p, data string, slot int, off int64) (string, func(s *side) string) {
	k := d.r.IntN(4)
	return fmt.Sprintf("open file %d, kind %d, %s", slot, k, p), func(s *side) string {
		f := s.open[slot]
		if f == nil || k == 3 {
			if f != nil {
				_ = f.Close()
			}
			var err error
			s.open[slot], err = os.OpenFile(s.p(p), os.O_RDWR|os.O_CREATE, 0o644)
			if err != nil {
				s.open[slot] = nil
			}
			return result(err)
		}
		switch k {
		case 0:
			_, err := f.WriteAt([]byte(data), off)
			return result(err)
		case 1:
			b := make([]byte, 20000)
			n, _ := f.ReadAt(b, 0)
			return result(nil, string(b[:n]))
		}
		st, err := f.Stat()
		if err != nil {
			return result(err)
		}
		return result(nil, st.Size(), st.Mode())
	}
}

func list(dir string) string {
	es, err := os.ReadDir(dir)
	if err != nil {
		return result(err)
	}
	var b strings.Builder
	for _, e := range es {
		fmt.Fprintf(&b, "%s %v;", e.Name(), e.Type())
	}
	return b.String()
}

// tree describes all that is below dir.
func tree(dir string) string {
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		fmt.Fprintf(&b, "%s %o", rel, st.Mode)
		switch e.Type() {
		case 0:
			data, err := os.ReadFile(p)
			fmt.Fprintf(&b, " %d links, %d bytes, %v, %x", st.Nlink, st.Size, err, sum(data))
		case fs.ModeSymlink:
			l, _ := os.Readlink(p)
			fmt.Fprintf(&b, " -> %s", l)
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		fmt.Fprintf(&b, "walk: %v\n", result(err))
	}
	return b.String()
}

func sum(b []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}
