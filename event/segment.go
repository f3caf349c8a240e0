package event

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A record is one sequence of lines that lies in several files, its segments: events.jsonl,
// which its writer keeps locked, events.000001.jsonl and so on. The chain does not know of them;
// the first line of each but the first says which one it is, of what record, and behind how
// many bytes it stands.

const (
	// nextDir is a folder beside the segments in which the next one is made, before it is moved
	// to them with its first lines: it is there whole, or not at all.
	nextDir = "next"

	segmentPrefix, segmentSuffix = "events.", ".jsonl"
	segmentDigits                = 6

	maxSegment = 64 << 20 // bytes after which the next one is begun
	minSegment = 1 << 20
)

// NextFolder is the folder in which a record's writer makes its next file. It moves it to the
// folder above, where it needs no right to write to, replace or remove anything.
func NextFolder(state, id string) string { return filepath.Join(state, recordsDir, id, nextDir) }

// segmentPath is the file of segment i of the record whose first file is given.
func segmentPath(first string, i int) string {
	if i == 0 {
		return first
	}
	return filepath.Join(filepath.Dir(first), segmentName(i))
}

func segmentName(i int) string {
	return fmt.Sprintf("%s%0*d%s", segmentPrefix, segmentDigits, i, segmentSuffix)
}

// segmentIndex is the number that a file's name states; ok is false where it is none of a
// segment behind the first.
func segmentIndex(name string) (i int, ok bool) {
	digits, ok := strings.CutPrefix(name, segmentPrefix)
	if !ok {
		return 0, false
	}
	if digits, ok = strings.CutSuffix(digits, segmentSuffix); !ok {
		return 0, false
	}
	i, err := strconv.Atoi(digits)
	return i, err == nil && i > 0 && segmentName(i) == name
}

// segmentsOf are the numbers of the segments of the record whose first file is given, the first
// always among them, in order. A file of another name is a record by itself: a copy.
func segmentsOf(first string) ([]int, error) {
	all := []int{0}
	if filepath.Base(first) != eventsFile {
		return all, nil
	}
	dir, err := os.ReadDir(filepath.Dir(first))
	if err != nil {
		return nil, err
	}
	for _, d := range dir {
		if i, ok := segmentIndex(d.Name()); ok {
			all = append(all, i)
		}
	}
	slices.Sort(all)
	return all, nil
}

// extent is how many bytes a record has in all its segments, when it was last written to, and
// its last segment.
func extent(first string) (bytes int64, last time.Time, segment int, err error) {
	all, err := segmentsOf(first)
	if err != nil {
		return 0, last, 0, err
	}
	for _, i := range all {
		fi, err := os.Lstat(segmentPath(first, i))
		if err != nil {
			return 0, last, 0, err
		}
		bytes += fi.Size()
		if fi.ModTime().After(last) {
			last = fi.ModTime()
		}
	}
	return bytes, last, all[len(all)-1], nil
}

// endOf returns the last whole line of a record, without its newline; nil when there is none.
func endOf(first string) ([]byte, error) {
	all, err := segmentsOf(first)
	if err != nil {
		return nil, err
	}
	for _, i := range slices.Backward(all) {
		f, err := openSegment(first, i)
		if err != nil {
			return nil, err
		}
		line, _, err := lastLine(f)
		f.Close()
		if err != nil || line != nil {
			return line, err
		}
	}
	return nil, nil
}

func openSegment(first string, i int) (*os.File, error) {
	return openPlain(segmentPath(first, i))
}

// openPlain opens a file to read. Somebody may have put something else into its place: a pipe
// would be waited for, and a link leads elsewhere.
func openPlain(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%q is no regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// segments are the files of a record that is being read, one after the other.
type segments struct {
	first string
	in    *os.File // the one that is read now
	index int      // its number
	next  int      // the one behind it, where there is one: nobody writes to in any more
}

func openSegments(first string) (*segments, error) {
	in, err := openSegment(first, 0)
	if err != nil {
		return nil, err
	}
	return &segments{first: first, in: in}, nil
}

// find looks for the segment behind the one that is read.
func (s *segments) find() error {
	all, err := segmentsOf(s.first)
	if err != nil {
		return err
	}
	for _, i := range all {
		if i > s.index {
			s.next = i
			return nil
		}
	}
	return nil
}

// turn goes on to the segment that was found, and says how many are missing before it.
func (s *segments) turn() (missing int, err error) {
	in, err := openSegment(s.first, s.next)
	if err != nil {
		return 0, err
	}
	s.in.Close()
	missing = s.next - s.index - 1
	s.in, s.index, s.next = in, s.next, 0
	return missing, nil
}

func (s *segments) Close() error { return s.in.Close() }

// OpenBytes opens the record in file as one sequence of bytes, and says how many there are. The
// caller closes it.
func OpenBytes(file string) (in io.ReadCloser, size int64, err error) {
	if size, _, _, err = extent(file); err != nil {
		return nil, 0, err
	}
	s, err := openSegments(file)
	if err != nil {
		return nil, 0, err
	}
	return (*bytesOf)(s), size, nil
}

// bytesOf reads segments as if they were one file.
type bytesOf segments

func (b *bytesOf) Read(p []byte) (int, error) {
	s := (*segments)(b)
	for {
		n, err := s.in.Read(p)
		if n > 0 || err != nil && !errors.Is(err, io.EOF) {
			return n, err
		}
		if s.next == 0 {
			if err := s.find(); err != nil {
				return 0, err
			}
			if s.next == 0 {
				return 0, io.EOF
			}
			continue // it may have been written to before the next one was there
		}
		if _, err := s.turn(); err != nil {
			return 0, err
		}
	}
}

func (b *bytesOf) Close() error { return b.in.Close() }
