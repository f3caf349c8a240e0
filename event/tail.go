package event

import (
	"errors"
	"fmt"
	"os"
)

// A Tail reads a record that may still be written, without waiting. It is not safe for
// concurrent use.
type Tail struct {
	first *os.File // which its writer has locked
	r     *reader
}

// OpenTail opens the record in file from its beginning. The caller closes it.
func OpenTail(file string) (*Tail, error) {
	in, err := openSegment(file, 0)
	if err != nil {
		return nil, fmt.Errorf("open record: %w", err)
	}
	r, err := openReader(file, Filter{})
	if err != nil {
		in.Close()
		return nil, fmt.Errorf("open record: %w", err)
	}
	return &Tail{first: in, r: r}, nil
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
func (t *Tail) Over() (ended, gone bool) { return t.r.ended, !running(t.first) }

// Close closes its files.
func (t *Tail) Close() error { return errors.Join(t.first.Close(), t.r.files.Close()) }
