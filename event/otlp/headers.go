package otlp

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

// A headerFile is a file with headers, open: a confined sender opens no other.
type headerFile struct {
	name string
	file *os.File // nil: there is none, or it could not be opened
	err  error
}

func openHeaders(name string) *headerFile {
	h := &headerFile{name: name}
	if name != "" {
		h.file, h.err = os.Open(name)
	}
	return h
}

// read reads the file as it is now.
func (h *headerFile) read() (map[string]string, error) {
	switch {
	case h.name == "":
		return map[string]string{}, nil
	case h.err != nil:
		return nil, fmt.Errorf("read headers for the receiver: %w", h.err)
	}
	b, err := io.ReadAll(io.NewSectionReader(h.file, 0, maxHeaders+1))
	if err != nil {
		return nil, fmt.Errorf("read headers for the receiver: %w", err)
	}
	return parseHeaders(h.name, b)
}

// replaced says whether another file has the name now. Names and numbers of files can be
// seen however confined.
func (h *headerFile) replaced() bool {
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

func (h *headerFile) close() error {
	if h.file == nil {
		return nil
	}
	return h.file.Close()
}

// Headers reads a file with headers: "Name: value" a line; empty lines and those that begin
// with # count for nothing. An empty name has none.
func Headers(file string) (map[string]string, error) {
	f := openHeaders(file)
	h, err := f.read()
	return h, errors.Join(err, f.close())
}

func parseHeaders(file string, b []byte) (map[string]string, error) {
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
