package shadow

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// CopySparse copies from into the empty file to. Holes stay holes, so that a file
// takes no more room on the host than it did in the shadow.
func CopySparse(to, from *os.File) error {
	st, err := from.Stat()
	if err != nil {
		return err
	}
	for at := int64(0); at < st.Size(); {
		data, err := unix.Seek(int(from.Fd()), at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			break // only a hole is left
		}
		if err != nil {
			return err
		}
		hole, err := unix.Seek(int(from.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if err := copyRange(to, from, data, hole-data); err != nil {
			return err
		}
		at = hole
	}
	return growTo(to, st.Size())
}

// copyRange copies n bytes at the offset.
func copyRange(to, from *os.File, at, n int64) error {
	for _, f := range []*os.File{to, from} {
		if _, err := f.Seek(at, io.SeekStart); err != nil {
			return err
		}
	}
	_, err := io.CopyN(to, from, n)
	if err == io.EOF {
		return nil // it was cut while it was copied: settle notices
	}
	return err
}

// growTo makes the hole at the end.
func growTo(f *os.File, size int64) error {
	st, err := f.Stat()
	if err != nil || st.Size() >= size {
		return err
	}
	return f.Truncate(size)
}
