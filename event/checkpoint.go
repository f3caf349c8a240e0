package event

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	headFile = "head" // beside the record
	// headEvery is how old the signed head beside a record that is being written may get.
	headEvery = time.Second
	headSize  = 1024
)

// anchorHead is what the signed head beside a record says of itself.
const anchorHead = "head"

func headPath(state, id string) string { return filepath.Join(state, recordsDir, id, headFile) }

// checkpoint writes the signed head of what has been written, when the last one is old or
// now is true: should the process be killed, a cut of what was written up to here shows.
// The caller has the turn.
func (r *Record) checkpoint(now bool) error {
	t := time.Now()
	if !now && t.Sub(r.headed) < headEvery {
		if !r.due { // also when nothing comes for long
			r.due = true
			time.AfterFunc(headEvery, r.nudge)
		}
		return nil
	}
	r.headed, r.due = t, false
	a := anchor{
		What: anchorHead, Time: r.headed.UTC(), ID: r.id, At: r.seq - 1, Head: r.head, Size: r.size, Key: r.key.text(),
	}
	body, err := appendBody(nil, a)
	if err != nil {
		return err
	}
	line, _ := appendLine(nil, 0, genesis(headFile, r.id), appendSignature(r.key, 0, genesis(headFile, r.id), body))
	if len(line) > headSize {
		return fmt.Errorf("the head of record %q has %d bytes", r.id, len(line))
	}
	// Always one length, by one write: it is whole, or the one before is.
	line[len(line)-1] = ' '
	_, err = r.heads.WriteAt(fmt.Appendf(nil, "%-*s\n", headSize-1, line), 0)
	return err
}

func openHead(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, headFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
}

// parseHead reads a signed head. Its signature has been checked with the key that it names.
func parseHead(b []byte, id string) (anchor, error) {
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\n') {
		b = b[:len(b)-1]
	}
	l, a, err := parseAnchor(b)
	switch {
	case err != nil:
		return a, err
	case a.What != anchorHead || a.ID != id || l.seq != 0 || l.prev != genesis(headFile, id):
		return a, errForm
	}
	if _, right := signedBy(&l, &a); !right {
		return a, errHash
	}
	return a, nil
}
