// Package headers reads files with the headers of requests: a line "Name: value" each; empty
// lines and those that begin with # count for nothing. Their values are secrets, which stand
// in no policy and in no error.
//
// # Limitations
//
// A name can be there once: the last line counts.
package headers

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// maxHeaders bounds the file of headers.
const maxHeaders = 64 << 10

// A File is a file with headers, open: a confined process opens no other.
type File struct {
	name string
	file *os.File // nil: there is none, or it could not be opened
	err  error    // why it could not be opened
}

// Err is why the file could not be opened.
func (h *File) Err() error { return h.err }

// Open opens the file of that name; without one there are no headers. What is wrong with it,
// [File.Read] says.
func Open(name string) *File {
	h := &File{name: name}
	if name != "" {
		h.file, h.err = os.Open(name)
	}
	return h
}

// Read reads the file as it is now.
func (h *File) Read() (map[string]string, error) {
	switch {
	case h.name == "":
		return map[string]string{}, nil
	case h.err != nil:
		return nil, fmt.Errorf("read headers of requests: %w", h.err)
	}
	b, err := io.ReadAll(io.NewSectionReader(h.file, 0, maxHeaders+1))
	if err != nil {
		return nil, fmt.Errorf("read headers of requests: %w", err)
	}
	return parse(h.name, b)
}

// Replaced says whether another file has the name now. Names and numbers of files can be
// seen however confined.
func (h *File) Replaced() bool {
	if h.name == "" {
		return false
	}
	now, err := os.Stat(h.name)
	if err != nil {
		return false
	}
	if h.file == nil {
		return true
	}
	then, err := h.file.Stat()
	return err == nil && !os.SameFile(now, then)
}

// Close closes it.
func (h *File) Close() error {
	if h.file == nil {
		return nil
	}
	return h.file.Close()
}

// Read reads the file of that name once.
func Read(file string) (map[string]string, error) {
	f := Open(file)
	h, err := f.Read()
	return h, errors.Join(err, f.Close())
}

func parse(file string, b []byte) (map[string]string, error) {
	h := map[string]string{}
	if len(b) > maxHeaders {
		return nil, fmt.Errorf("%q is longer than %d bytes", file, maxHeaders)
	}
	for i, l := range strings.Split(string(b), "\n") {
		if l = strings.TrimSpace(l); l == "" || l[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(l, ":")
		value = strings.TrimSpace(value)
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("%q, line %d: not of the form Name: value", file, i+1) // never what it is: it may be a key
		}
		h[name] = value
	}
	return h, nil
}
