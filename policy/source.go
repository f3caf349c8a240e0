package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxSize bounds a policy file, maxLine one line of it: parsing is quadratic in
// the length of a line.
const (
	maxSize = 1 << 20
	maxLine = 4096
)

// The layers, in rising order of precedence. The ceiling is above all of them.
const (
	layerDefault = "default"
	layerPreset  = "preset"
	layerUser    = "user"
	layerProject = "project"
	layerFlag    = "flag"
	layerCeiling = "ceiling"
)

// A source is something that a policy is written in: a file, a preset, the flags.
type source struct {
	layer string
	file  string // as shown
	dir   string // relative paths are below it; empty: there are none
	data  []byte
	lines []string
}

func newSource(layer, file, dir string, data []byte) *source {
	s := &source{layer: layer, file: file, dir: dir, data: data}
	s.lines = strings.Split(string(data), "\n")
	return s
}

// text is the source's line, without its end. A flag has one line, numbered 0.
func (s *source) text(line int) string {
	if line == 0 && s.layer == layerFlag && len(s.lines) == 1 {
		return s.lines[0]
	}
	if line < 1 || line > len(s.lines) {
		return ""
	}
	return strings.TrimSuffix(s.lines[line-1], "\r")
}

func (s *source) hash() string { return hashOf(s.data) }

func hashOf(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// check refuses what is no text before any parser sees it.
func (s *source) check(r *report) bool {
	n := len(r.faults)
	for i, l := range s.lines {
		at := mark{src: s, line: i + 1, col: 1, width: 1}
		if len(l) > maxLine {
			r.add(at, "", "", "the line has %d bytes, at most %d are read", len(l), maxLine)
		}
		if c := badRune(l); c >= 0 {
			at.col = utf8.RuneCountInString(l[:c]) + 1
			r.add(at, "", "", "a control character or invalid UTF-8 (byte 0x%02x)", l[c])
		}
	}
	return len(r.faults) == n
}

// badRune is the index of the first byte of l that is neither printable text nor a
// tab nor the carriage return of a line's end; -1 without one.
func badRune(l string) int {
	l = strings.TrimSuffix(l, "\r")
	for i, r := range l {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(l[i:]); n <= 1 {
				return i
			}
		}
		// What makes a line look like another one is no text either.
		if r == '\uFEFF' || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r) || (r != '\t' && unicode.IsControl(r)) {
			return i
		}
	}
	return -1
}

// readFile reads a policy file. A missing file is reported as fs.ErrNotExist.
// follow says whether the last name may be a symlink: never in a project, where
// it would show the first lines of any file of the user.
func readFile(name string, follow bool) ([]byte, fs.FileInfo, error) {
	f, err := openFile(name, follow)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, nil, errors.New("not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, nil, err
	}
	if len(data) > maxSize {
		return nil, nil, fmt.Errorf("larger than %d bytes", maxSize)
	}
	return data, fi, nil
}

// ReadProject reads a project's policy file as [Load] does and returns its bytes
// with the hash that [Trust.Trust] takes, so that what was shown to the user is
// what becomes trusted. A symlink, a device or more than 1 MiB is an error.
func ReadProject(file string) (data []byte, hash string, err error) {
	data, _, err = readFile(file, false)
	if err != nil {
		return nil, "", fmt.Errorf("read policy %q: %w", file, err)
	}
	return data, hashOf(data), nil
}

// statDir is a folder itself, not what a link leads to.
func statDir(name string) (fs.FileInfo, error) { return os.Lstat(name) }

// exists says whether a file is there; every error but absence counts as presence,
// so that it is met again where the file is read.
func exists(name string) bool {
	_, err := os.Lstat(name)
	return !errors.Is(err, fs.ErrNotExist)
}
