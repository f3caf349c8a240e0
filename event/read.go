package event

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/belljar-dev/belljar"
)

// Read reads the entries of the record in file that f selects, first to last, in
// constant memory. A line that is damaged or longer than 4 MiB is yielded as an
// error that names it, and reading goes on behind it; what a writer has not
// finished yet is left out. Read does not judge the chain: [Verify] does.
func Read(file string, f Filter) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		r, err := openReader(file, f)
		if err != nil {
			yield(Entry{}, fmt.Errorf("read record: %w", orRemoved(file, err)))
			return
		}
		defer r.files.Close()
		for r.next() {
			if !yield(r.entry, r.err) {
				return
			}
		}
		if r.fail != nil {
			yield(Entry{}, r.fail)
		}
	}
}

// Follow is [Read] that waits for what comes: it ends after the end event, when
// the process that writes the record is gone, or with the error of ctx.
func Follow(ctx context.Context, file string, f Filter) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		in, err := openSegment(file, 0) // which its writer has locked
		if err != nil {
			yield(Entry{}, fmt.Errorf("follow record: %w", orRemoved(file, err)))
			return
		}
		defer in.Close()
		r, err := openReader(file, f)
		if err != nil {
			yield(Entry{}, fmt.Errorf("follow record: %w", orRemoved(file, err)))
			return
		}
		defer r.files.Close()
		const least, most = 10 * time.Millisecond, 250 * time.Millisecond
		wait := least
		for gone := false; ; {
			read := r.read
			for r.next() {
				if !yield(r.entry, r.err) {
					return
				}
			}
			if r.fail != nil {
				yield(Entry{}, r.fail)
				return
			}
			if r.ended || gone {
				return
			}
			if wait = min(2*wait, most); r.read != read {
				wait = least
			}
			if gone = !running(in); gone {
				continue // it may have written more before it went
			}
			select {
			case <-ctx.Done():
				yield(Entry{}, ctx.Err())
				return
			case <-time.After(wait):
			}
		}
	}
}

// A reader reads lines. It keeps what is not a whole line yet.
type reader struct {
	in     *bufio.Reader
	files  *segments // whose in is read; nil: there is one file only
	filter selector
	part   []byte
	long   bool // part belongs to a line that is too long
	line   int
	read   int64 // bytes

	entry Entry
	err   error // of this line
	gap   error // it is none: something is missing between two segments
	fail  error // of reading
	ended bool  // the end event was read
}

func newReader(in io.Reader, f Filter) *reader {
	return &reader{in: bufio.NewReaderSize(in, 64<<10), filter: selector{Filter: f}}
}

// openReader opens all segments of the record in file. The caller closes files.
func openReader(file string, f Filter) (*reader, error) {
	s, err := openSegments(file)
	if err != nil {
		return nil, err
	}
	r := newReader(s.in, f)
	r.files = s
	return r, nil
}

// next reads on to the next entry that is selected, or that is damaged.
func (r *reader) next() bool {
	for {
		line, ok := r.nextLine()
		if !ok {
			return false
		}
		r.entry, r.err = Entry{}, nil
		if r.gap != nil {
			r.err, r.gap = r.gap, nil
			return true
		}
		r.line++
		if r.long {
			r.long = false
			r.err = fmt.Errorf("line %d: longer than %d bytes", r.line, maxLine)
			return true
		}
		e, err := parseEntry(line)
		if err != nil {
			r.err = fmt.Errorf("line %d: %w", r.line, err)
			return true
		}
		r.ended = r.ended || e.Kind == belljar.EventEnd
		if r.filter.match(&e) {
			r.entry = e
			return true
		}
	}
}

// nextLine returns a whole line without its newline, or what is amiss between two segments in
// gap. It is valid until the next call.
func (r *reader) nextLine() ([]byte, bool) {
	whole := len(r.part) == 0 && !r.long
	if !r.long && bytes.HasSuffix(r.part, []byte("\n")) {
		r.part, whole = r.part[:0], true
	}
	for {
		frag, err := r.in.ReadSlice('\n')
		r.read += int64(len(frag))
		done := err == nil
		if done && whole {
			return frag[:len(frag)-1], true
		}
		whole = false
		if len(r.part)+len(frag) > maxLine+1 {
			r.part, r.long = r.part[:0], true
		} else if !r.long {
			r.part = append(r.part, frag...)
		}
		switch {
		case done && r.long:
			return nil, true
		case done:
			return r.part[:len(r.part)-1], true
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			switch on, err := r.goOn(); {
			case err != nil:
				r.fail = fmt.Errorf("read record: %w", err)
				return nil, false
			case !on:
				return nil, false
			case r.gap != nil:
				return nil, true
			}
			whole = len(r.part) == 0 && !r.long
		default:
			r.fail = fmt.Errorf("read record: %w", err)
			return nil, false
		}
	}
}

// goOn looks, at the end of a file, whether there is more to read, and sets gap where something
// is missing before that.
func (r *reader) goOn() (bool, error) {
	s := r.files
	switch {
	case s == nil:
		return false, nil
	case s.next == 0: // the end is read once more: it may have grown before the next one was there
		err := s.find()
		return s.next != 0, err
	}
	torn := len(r.part) > 0 || r.long
	r.part, r.long = r.part[:0], false
	missing, err := s.turn()
	if err != nil {
		return false, err
	}
	r.in.Reset(s.in)
	switch at := s.index - missing; {
	case torn:
		r.gap = fmt.Errorf("segment %d ends in the midst of a line: its end is missing", at-1)
	case missing == 1:
		r.gap = fmt.Errorf("segment %d is not there", at)
	case missing > 1:
		r.gap = fmt.Errorf("segments %d to %d are not there", at, s.index-1)
	}
	return true, nil
}
