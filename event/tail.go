package event

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A Tail reads a record that may still be written, without waiting. It is not safe for
// concurrent use.
type Tail struct {
	file *os.File
	r    *reader
}

// OpenTail opens the record in file from its beginning. The caller closes it.
func OpenTail(file string) (*Tail, error) {
	in, err := os.OpenFile(file, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open record: %w", err)
	}
	return &Tail{file: in, r: newReader(in, Filter{})}, nil
}

// Next returns the next whole entry; ok is false where there is none yet. A line that is
// damaged is skipped, and counted in damaged. The entry is valid until the next call.
func (t *Tail) Next() (e Entry, damaged int, ok bool, err error) {
	for t.r.next() {
		if t.r.err == nil {
			return t.r.entry, damaged, true, nil
		}
		damaged++
	}
	return Entry{}, damaged, false, t.r.fail
}

// Over says whether nothing will be added: the end was read, or nobody writes any more. In
// the second case [Tail.Next] is to be asked once more afterwards.
func (t *Tail) Over() (ended, gone bool) { return t.r.ended, !running(t.file) }

// Close closes the file.
func (t *Tail) Close() error { return t.file.Close() }
