package event

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
)

// segmentBytes is after how many bytes a record of at most most begins its next segment.
func segmentBytes(most int64) int64 { return min(maxSegment, max(minSegment, most/8)) }

// segmentLine is the body of the first line of the next segment.
func (r *Record) segmentLine() ([]byte, error) {
	return r.hide.encode(belljar.Event{Kind: belljar.EventSegment, Time: time.Now(),
		Segment: &belljar.SegmentEvent{ID: r.id, Index: r.segment + 1, Before: r.size}})
}

// rotate begins the next segment with the lines in b. It is moved to the others when it has
// them: whoever reads finds it whole, or not at all. The caller has the turn.
func (r *Record) rotate(b []byte) error {
	at := segmentPath(r.path, r.segment+1)
	tmp := filepath.Join(filepath.Dir(r.path), nextDir, segmentName(r.segment+1))
	if _, err := os.Lstat(at); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is something at %q already", at)
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(b); err == nil {
		err = os.Rename(tmp, at)
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(tmp))
	}
	go closeSynced(r.file) // nobody waits for a slow disk
	r.file, r.segment, r.filled = f, r.segment+1, 0
	return nil
}

// closeSynced closes a segment that is full, when the disk has it.
func closeSynced(f *os.File) {
	_ = f.Sync()
	_ = f.Close()
}
