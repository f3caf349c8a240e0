package fstest

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Sequences are random sequences of file operations, each in a folder of its own. The
// same Sequences do the same in every directory, so that one that is reached in some
// other way, a sandbox for instance, is compared with a plain copy.
type Sequences struct {
	seed  uint64
	count int
}

// NewSequences are count sequences that the seed determines.
func NewSequences(seed uint64, count int) Sequences { return Sequences{seed, count} }

// Names are the folders of the sequences.
func (s Sequences) Names() []string {
	names := make([]string, s.count)
	for i := range names {
		names[i] = fmt.Sprintf("s%d", i)
	}
	return names
}

// Fill makes the folders in dir, and in each what the sequence finds.
func (s Sequences) Fill(dir string) error {
	for i, n := range s.Names() {
		if err := os.Mkdir(filepath.Join(dir, n), 0o755); err != nil {
			return err
		}
		o := ops{rand.New(rand.NewPCG(s.seed, uint64(i)))}
		for range 15 {
			_ = o.make().in(filepath.Join(dir, n))
		}
	}
	return nil
}

// each calls f for every operation of every sequence.
func (s Sequences) each(f func(seq, n int, x op) error) error {
	for i := range s.count {
		o := ops{rand.New(rand.NewPCG(s.seed, 1000+uint64(i)))}
		for k := range 25 {
			if err := f(i, k, o.any()); err != nil {
				return err
			}
		}
	}
	return nil
}

// Do does the sequences in dir and returns how each operation of each ended: the
// error, or nothing.
func (s Sequences) Do(dir string) [][]string {
	ended := make([][]string, s.count)
	_ = s.each(func(seq, _ int, x op) error {
		ended[seq] = append(ended[seq], ending(x.in(filepath.Join(dir, s.Names()[seq]))))
		return nil
	})
	return ended
}

// Refusals are two reasons for which one operation is refused, in the order of Do and
// Follow: of several that there are, kernels do not find the same one first.
type Refusals struct{ Did, Follows string }

// Follow does in dir, a copy, what Do did elsewhere, and says where an operation ends
// in another way, also than given. What was refused there as between file systems is
// not done.
func (s Sequences) Follow(dir string, ended [][]string, also ...Refusals) error {
	if len(ended) != s.count {
		return fmt.Errorf("%d sequences were done, want %d", len(ended), s.count)
	}
	var done strings.Builder
	return s.each(func(seq, n int, x op) error {
		if n == 0 {
			done.Reset()
		}
		if n >= len(ended[seq]) {
			return fmt.Errorf("sequence %d ended after %d operations", seq, len(ended[seq]))
		}
		want := ended[seq][n]
		fmt.Fprintf(&done, "\n%s: %s", x.what, want)
		if want == unix.EXDEV.Error() {
			return nil
		}
		if got := ending(x.in(filepath.Join(dir, s.Names()[seq]))); got != want && !slices.Contains(also, Refusals{want, got}) {
			return fmt.Errorf("seed %d, sequence %d: ended with %q, in a plain copy with %q:%s", s.seed, seq, want, got, done.String())
		}
		return nil
	})
}

// ending is the error at the bottom of err.
func ending(err error) string {
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

// sequenceNames are the components of paths. Some have a meaning for the workspace
// view, and two are no good text.
var sequenceNames = []string{"a", "b", "c", "Makefile", ".bashrc", ".vscode", "n\nl", "\xff\xfe", "x y"}

// ops makes operations up; all chance is used up before one is done.
type ops struct{ r *rand.Rand }

type op struct {
	what string
	f    func(at func(rel string) string) error
}

func (x op) in(dir string) error {
	return x.f(func(rel string) string { return filepath.Join(dir, rel) })
}

func (o ops) path() string {
	var p []string
	for range 1 + o.r.IntN(3) {
		p = append(p, sequenceNames[o.r.IntN(len(sequenceNames))])
	}
	return filepath.Join(p...)
}

// make makes something.
func (o ops) make() op {
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
			return writing(at(p), os.O_CREATE, func(f *os.File) error { _, err := f.WriteAt([]byte(data), sparseSize); return err })
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
func (o ops) any() op {
	p, q := o.path(), o.path()
	value := []byte{byte(o.r.IntN(256))}
	name := []string{"user.a", "user.b"}[o.r.IntN(2)]
	onFile := func(what string, f func(name string) error) op {
		return op{what + " " + p, func(at func(string) string) error {
			if st, err := os.Lstat(at(p)); err != nil || !st.Mode().IsRegular() {
				return err
			}
			return f(at(p))
		}}
	}
	anew := func(what string, f func(name string) error) op {
		return op{"rm -r and " + what + " " + p, func(at func(string) string) error {
			if err := os.RemoveAll(at(p)); err != nil {
				return err
			}
			return f(at(p))
		}}
	}
	switch o.r.IntN(16) {
	case 0, 1, 2:
		return op{"rename " + p + " to " + q, func(at func(string) string) error { return unix.Rename(at(p), at(q)) }}
	case 3:
		return op{"unlink " + p, func(at func(string) string) error { return unix.Unlink(at(p)) }}
	case 4:
		return op{"rm -r " + p, func(at func(string) string) error { return os.RemoveAll(at(p)) }}
	case 5:
		return anew("mkdir", func(n string) error { return unix.Mkdir(n, 0o750) })
	case 6:
		return anew("write", func(n string) error { return os.WriteFile(n, value, 0o644) })
	case 7:
		return op{"link " + p + " to " + q, func(at func(string) string) error { return unix.Link(at(p), at(q)) }}
	case 8:
		return onFile("setxattr", func(n string) error { return unix.Setxattr(n, name, value, 0) })
	case 9:
		return onFile("truncate", func(n string) error { return unix.Truncate(n, int64(value[0])) })
	case 10:
		return onFile("append", func(n string) error {
			return writing(n, os.O_APPEND, func(f *os.File) error { _, err := f.Write(value); return err })
		})
	}
	return o.make()
}

// writing opens a file to write, and closes it.
func writing(name string, flags int, f func(f *os.File) error) error {
	file, err := os.OpenFile(name, os.O_WRONLY|flags, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return f(file)
}
