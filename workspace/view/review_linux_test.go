package view

import (
	"context"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/workspace"
	"github.com/belljar-dev/belljar/workspace/shadow"
	"golang.org/x/sys/unix"
)

// TestReview does random operations in a view in review mode and in a plain copy of
// the same tree. After apply the project is what the copy is, after undo and after
// discard what it was; each sequence has a folder of its own.
func TestReview(t *testing.T) {
	const each = 50
	for batch := range many(20, 200) {
		t.Run(fmt.Sprint(batch), func(t *testing.T) {
			t.Parallel()
			reviewBatch(t, uint64(batch), each)
		})
	}
}

func reviewBatch(t *testing.T, batch uint64, each int) {
	plain := t.TempDir()
	names := make([]string, each)
	w := newWorld(t, worldOptions{mode: belljar.ModeReview, seed: func(host string) {
		for i := range names {
			names[i] = fmt.Sprintf("s%d", i)
			for _, dir := range []string{host, plain} {
				must(t, os.Mkdir(filepath.Join(dir, names[i]), 0o755))
				o := ops{r: rand.New(rand.NewPCG(batch, uint64(i))), a: filepath.Join(dir, names[i])}
				for range 15 {
					o.one(o.make())
				}
			}
		}
	}})
	before := look(t, w.host, names)
	if d := differ(before, look(t, plain, names)); d != "" {
		t.Fatal("the copies differ at the start: " + d)
	}
	for i, n := range names {
		o := ops{r: rand.New(rand.NewPCG(batch, 1000+uint64(i))), a: filepath.Join(w.in, n), b: filepath.Join(plain, n)}
		for range 25 {
			if why := o.both(o.any()); why != "" {
				t.Fatalf("batch %d, sequence %d: %s\n%s", batch, i, why, strings.Join(o.done, "\n"))
			}
		}
	}
	after := look(t, plain, names)
	if d := differ(after, look(t, w.in, names)); d != "" {
		t.Fatalf("batch %d: the view differs: %s", batch, d)
	}
	w.server.Close()
	p := workspace.Project{Dir: w.host, Shadow: w.shadow}
	waits := pendingList(t, p)
	apply := func() {
		t.Helper()
		out, err := p.Apply(context.Background())
		must(t, err)
		for _, o := range out {
			if o.Status != workspace.Applied {
				t.Errorf("batch %d: apply %s %s: %s %s", batch, o.Change.Op, o.Change.Name(), o.Status, o.Why)
			}
		}
		wantSame(t, batch, "apply", after, look(t, w.host, names))
		if w := pendingList(t, p); w != "" {
			t.Errorf("batch %d: waits after apply:\n%s", batch, w)
		}
	}
	apply()
	out, err := p.Undo(context.Background())
	must(t, err)
	for _, o := range out {
		if o.Status != workspace.Undone {
			t.Errorf("batch %d: undo %s: %s %s", batch, o.Change.Name(), o.Status, o.Why)
		}
	}
	wantSame(t, batch, "undo", before, look(t, w.host, names))
	if got := pendingList(t, p); got != waits && !t.Failed() {
		t.Errorf("batch %d: waits after undo, and before: %s", batch, differ(strings.Split(waits, "\n"), strings.Split(got, "\n")))
	}
	if batch%4 == 0 { // what waits again lands as it did
		apply()
		_, err = p.Undo(context.Background())
		must(t, err)
	}
	_, err = p.Discard(context.Background())
	must(t, err)
	wantSame(t, batch, "discard", before, look(t, w.host, names))
	if got := pendingList(t, p); got != "" {
		t.Errorf("batch %d: waits after discard:\n%s", batch, got)
	}
}

func pendingList(t *testing.T, p workspace.Project) string {
	t.Helper()
	cs, err := p.Pending()
	must(t, err)
	var b strings.Builder
	for _, c := range cs {
		fmt.Fprintf(&b, "%s %s %s %s\n", c.Op, c.Kind, c.Name(), c.Conflict)
	}
	return b.String()
}

func wantSame(t *testing.T, batch uint64, what string, want, got []string) {
	t.Helper()
	if d := differ(want, got); d != "" {
		t.Errorf("batch %d, after %s: %s", batch, what, d)
	}
}

// differ says in which lines two trees differ.
func differ(want, got []string) string {
	var b strings.Builder
	for _, l := range want {
		if !slices.Contains(got, l) {
			b.WriteString("\n- " + l)
		}
	}
	for _, l := range got {
		if !slices.Contains(want, l) {
			b.WriteString("\n+ " + l)
		}
	}
	return b.String()
}

// look describes what is below the named folders of dir, one line each.
func look(t *testing.T, dir string, names []string) []string {
	t.Helper()
	var out []string
	for _, n := range names {
		must(t, filepath.WalkDir(filepath.Join(dir, n), func(p string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			var st unix.Stat_t
			if err := unix.Lstat(p, &st); err != nil {
				return err
			}
			rel, _ := filepath.Rel(dir, p)
			line := fmt.Sprintf("%q %o", rel, st.Mode)
			switch e.Type() {
			case 0:
				data, err := os.ReadFile(p)
				if err != nil {
					return err
				}
				h := fnv.New64()
				h.Write(data)
				line += fmt.Sprintf(" %d bytes %x", len(data), h.Sum64())
				if len(data) >= sparseSize && st.Blocks*512 < int64(len(data)) {
					line += " sparse"
				}
			case fs.ModeSymlink:
				l, _ := os.Readlink(p)
				line += fmt.Sprintf(" -> %q", l)
			}
			out = append(out, line+attrs(p, e))
			return nil
		}))
	}
	return out
}

func attrs(p string, e fs.DirEntry) string {
	if e.Type() != 0 && !e.IsDir() {
		return ""
	}
	fd, err := unix.Open(p, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return " " + err.Error()
	}
	defer unix.Close(fd)
	return " " + shadow.AttrSum(fd)
}

const sparseSize = 1 << 20

// reviewNames are the components of paths.
var reviewNames = []string{"a", "b", "c", "Makefile", ".bashrc", ".vscode", "n\nl", "\xff\xfe", "x y"}

// ops are random operations on one tree, or on two at once.
type ops struct {
	r    *rand.Rand
	a, b string
	done []string
}

type op struct {
	what string
	f    func(p func(rel string) string) error
}

func (o *ops) path() string {
	var p []string
	for range 1 + o.r.IntN(3) {
		p = append(p, reviewNames[o.r.IntN(len(reviewNames))])
	}
	return filepath.Join(p...)
}

func (o *ops) one(x op) { _ = x.f(func(rel string) string { return filepath.Join(o.a, rel) }) }

// both does x in a and, unless that was refused as between file systems, in b.
func (o *ops) both(x op) string {
	at := func(dir string) func(string) string {
		return func(rel string) string { return filepath.Join(dir, rel) }
	}
	ea := x.f(at(o.a))
	o.done = append(o.done, fmt.Sprintf("%s: %v", x.what, errno(ea)))
	if errno(ea) == unix.EXDEV.Error() {
		return ""
	}
	if eb := x.f(at(o.b)); errno(ea) != errno(eb) {
		return fmt.Sprintf("%s: %v and %v", x.what, ea, eb)
	}
	return ""
}

func errno(err error) string {
	for e := err; e != nil; {
		if no, ok := e.(unix.Errno); ok {
			return no.Error()
		}
		u, ok := e.(interface{ Unwrap() error })
		if !ok {
			return e.Error()
		}
		e = u.Unwrap()
	}
	return ""
}

// make makes something.
func (o *ops) make() op {
	p, q := o.path(), o.path()
	data := hex.EncodeToString([]byte{byte(o.r.IntN(256))})
	data = strings.Repeat(data, o.r.IntN(3000))
	mode := uint32(0o600 | o.r.IntN(0o200))
	switch o.r.IntN(9) {
	case 0, 1, 2, 3:
		return op{"write " + p, func(at func(string) string) error { return os.WriteFile(at(p), []byte(data), os.FileMode(mode)&0o777) }}
	case 4, 5:
		return op{"mkdir " + p, func(at func(string) string) error { return os.MkdirAll(at(p), 0o755) }}
	case 6:
		return op{"symlink " + p, func(at func(string) string) error { return unix.Symlink(q, at(p)) }}
	case 7:
		return op{"sparse " + p, func(at func(string) string) error {
			f, err := os.OpenFile(at(p), os.O_WRONLY|os.O_CREATE, 0o644)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt([]byte(data), sparseSize)
			return err
		}}
	}
	return op{"chmod " + p, func(at func(string) string) error {
		st, err := os.Lstat(at(p))
		if err != nil || st.Mode()&os.ModeSymlink != 0 {
			return err
		}
		if st.IsDir() {
			return unix.Chmod(at(p), mode|0o700)
		}
		return unix.Chmod(at(p), mode)
	}}
}

// any is any operation.
func (o *ops) any() op {
	p, q := o.path(), o.path()
	value := []byte{byte(o.r.IntN(256))}
	name := []string{"user.a", "user.b"}[o.r.IntN(2)]
	file := func(at func(string) string, f func(name string) error) error {
		st, err := os.Lstat(at(p))
		if err != nil {
			return err
		}
		if !st.Mode().IsRegular() {
			return nil
		}
		return f(at(p))
	}
	switch o.r.IntN(16) {
	case 0, 1, 2:
		return op{"rename " + p + " to " + q, func(at func(string) string) error { return unix.Rename(at(p), at(q)) }}
	case 3:
		return op{"unlink " + p, func(at func(string) string) error { return unix.Unlink(at(p)) }}
	case 4:
		return op{"rm -r " + p, func(at func(string) string) error { return os.RemoveAll(at(p)) }}
	case 5:
		return op{"rm -r and mkdir " + p, func(at func(string) string) error {
			if err := os.RemoveAll(at(p)); err != nil {
				return err
			}
			return unix.Mkdir(at(p), 0o750)
		}}
	case 6:
		return op{"rm -r and write " + p, func(at func(string) string) error {
			if err := os.RemoveAll(at(p)); err != nil {
				return err
			}
			return os.WriteFile(at(p), value, 0o644)
		}}
	case 7:
		return op{"link " + p + " to " + q, func(at func(string) string) error { return unix.Link(at(p), at(q)) }}
	case 8:
		return op{"setxattr " + p, func(at func(string) string) error {
			return file(at, func(n string) error { return unix.Setxattr(n, name, value, 0) })
		}}
	case 9:
		return op{"truncate " + p, func(at func(string) string) error {
			return file(at, func(n string) error { return unix.Truncate(n, int64(value[0])) })
		}}
	case 10:
		return op{"append " + p, func(at func(string) string) error {
			return file(at, func(n string) error {
				f, err := os.OpenFile(n, os.O_APPEND|os.O_WRONLY, 0)
				if err != nil {
					return err
				}
				defer f.Close()
				_, err = f.Write(value)
				return err
			})
		}}
	}
	return o.make()
}
