package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
)

// Bounds of what is kept of what a detached sandbox prints: the last maxOutputFiles files.
const (
	maxOutputFile  = 8 << 20
	maxOutputFiles = 2
)

// An Output is written with what a detached sandbox prints. It takes at most 16 MiB of
// disk: the oldest half goes first. It is safe for concurrent use, and never fails: what
// cannot be written is left out.
type Output struct {
	dir string

	mu   sync.Mutex
	file *os.File
	at   int64 // in the stream, of what is written next
	from int64 // where file begins

	follow func(fd int) // nil: nobody follows
}

// NewOutput makes the folder dir and the first file in it.
func NewOutput(dir string) (*Output, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	o := &Output{dir: dir}
	return o, o.open()
}

// open begins the next file. Files are called by where they begin in the stream.
func (o *Output) open() error {
	f, err := os.OpenFile(filepath.Join(o.dir, fmt.Sprintf("%020d", o.at)), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if o.file != nil {
		_ = o.file.Close()
	}
	o.file, o.from = f, o.at
	if o.follow != nil {
		o.follow(int(f.Fd()))
	}
	return nil
}

// remake makes the folder again where it was removed since: nobody knew yet that it is in use.
func (o *Output) remake() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, err := os.Lstat(o.dir); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	return o.open()
}

// Write implements [io.Writer].
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for rest := p; len(rest) > 0; {
		room := maxOutputFile - (o.at - o.from)
		if room <= 0 {
			if o.open() != nil {
				return len(p), nil
			}
			o.drop()
			continue
		}
		n, err := o.file.Write(rest[:min(int64(len(rest)), room)])
		o.at += int64(n)
		if rest = rest[n:]; err != nil {
			break
		}
	}
	return len(p), nil
}

// drop removes the files that are too many.
func (o *Output) drop() {
	files, _ := outputFiles(o.dir)
	for len(files) > maxOutputFiles {
		_ = os.Remove(filepath.Join(o.dir, files[0].name))
		files = files[1:]
	}
}

// Follow calls f with the descriptor of the file that is written now, for those who can
// only append, and again with that of each one that is begun.
func (o *Output) Follow(f func(fd int)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.follow = f
	f(int(o.file.Fd()))
}

// Close closes the file.
func (o *Output) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.file.Close()
}

type outputFile struct {
	name string
	from int64
}

// outputFiles are the files of an output, in order.
func outputFiles(dir string) ([]outputFile, error) {
	names, err := os.ReadDir(dir)
	var out []outputFile
	for _, n := range names {
		if from, err := strconv.ParseInt(n.Name(), 10, 64); err == nil && from >= 0 && n.Type().IsRegular() {
			out = append(out, outputFile{n.Name(), from})
		}
	}
	slices.SortFunc(out, func(a, b outputFile) int { return int(min(max(a.from-b.from, -1), 1)) })
	return out, err
}

// CopyOutput writes to w what is kept in the folder dir of an [Output] from position at
// on, and returns where it ended. left is how much before that is not kept any more.
func CopyOutput(w io.Writer, dir string, at int64) (next, left int64, err error) {
	files, err := outputFiles(dir)
	if err != nil {
		return at, 0, err
	}
	if len(files) > 0 && files[0].from > at {
		left, at = files[0].from-at, files[0].from
	}
	for i, f := range files {
		if i+1 < len(files) && files[i+1].from <= at {
			continue
		}
		n, err := copyFrom(w, filepath.Join(dir, f.name), at-f.from)
		at += n
		if err != nil && !errors.Is(err, os.ErrNotExist) { // dropped meanwhile
			return at, left, err
		}
	}
	return at, left, nil
}

func copyFrom(w io.Writer, path string, skip int64) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if _, err := f.Seek(skip, io.SeekStart); err != nil {
		return 0, err
	}
	return io.Copy(w, f)
}
