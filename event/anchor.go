package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Names below the state folder.
const (
	recordsDir  = "records"
	eventsFile  = "events.jsonl"
	anchorsFile = "anchors"
	openDir     = "records-open" // one empty file per record that is being written
)

// anchorWait bounds the wait for the lock on the anchors. Each holder needs
// milliseconds; hundreds of sandboxes may end at once on a machine that is busy with it.
const anchorWait = time.Minute

// What an anchor tells about a record.
const (
	anchorStarted = "start"   // it begins
	anchorEnded   = "end"     // it was closed by its end event
	anchorKilled  = "killed"  // its process was gone without an end event
	anchorRemoved = "removed" // it was deleted by [Remove]
)

// An anchor is one line of the anchors: the head of a record at one moment.
type anchor struct {
	What string    `json:"anchor"`
	Time time.Time `json:"time"`
	ID   string    `json:"id"`
	Name string    `json:"name,omitempty"` // of the sandbox, at the start
	At   uint64    `json:"at"`             // number of the record's last line
	Head string    `json:"head"`           // its hash
	Size int64     `json:"size"`           // bytes of the record
	// Closed is the head of the record that was closed last, this one included.
	Closed string `json:"closed,omitempty"`
	// RunKey, of a start, is the public key that signs for this record while it is written:
	// the user's own is not in memory then.
	RunKey string `json:"run_key,omitempty"`
	Key    string `json:"key,omitempty"` // whose signature is last
	Sig    string `json:"sig,omitempty"`
}

// anchors is the open, locked file of anchors.
type anchors struct {
	file   *os.File
	state  string
	seq    uint64 // of the next line
	head   string
	closed string
	key    headSigner
	seen   []Witness
}

// openAnchors opens and locks the anchors of a state folder, whose new lines key signs.
// It reads no more than the last line.
func openAnchors(state string, key headSigner, seen []Witness) (*anchors, error) {
	f, err := os.OpenFile(filepath.Join(state, anchorsFile), os.O_RDWR|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open anchors: %w", err)
	}
	a := &anchors{file: f, state: state, head: genesis("anchors", ""), key: key, seen: seen}
	if err := a.load(); err != nil {
		f.Close()
		return nil, err
	}
	return a, nil
}

func (a *anchors) load() error {
	if err := lockWithin(a.file, unix.LOCK_EX, anchorWait); err != nil {
		return fmt.Errorf("lock anchors: %w", err)
	}
	line, size, err := lastLine(a.file)
	if err != nil {
		return fmt.Errorf("read anchors: %w", err)
	}
	// What a killed process wrote half is no anchor; nobody was told of it.
	if err := a.file.Truncate(size); err != nil {
		return fmt.Errorf("mend anchors: %w", err)
	}
	if line == nil {
		return nil
	}
	l, err := parseLink(line)
	var last anchor
	if err == nil || errors.Is(err, errHash) {
		err = json.Unmarshal(line, &last)
	}
	if err != nil {
		return fmt.Errorf("the last line of %q is damaged (%w): move the file away to go on without it", a.file.Name(), err)
	}
	// A wrong hash is carried on: verify names the line, and runs go on.
	a.seq, a.head, a.closed = l.seq+1, l.hash, last.Closed
	return nil
}

func (a *anchors) add(e anchor) error {
	e.Time = time.Now().UTC()
	e.Closed = a.closed
	if e.What == anchorEnded || e.What == anchorKilled {
		e.Closed = e.Head
	}
	e.Key = a.key.text()
	body, err := appendBody(nil, e)
	if err != nil {
		return fmt.Errorf("encode anchor: %w", err)
	}
	sig, err := a.key.signHead(signed(a.seq, a.head, body))
	if err != nil {
		return fmt.Errorf("sign anchor: %w", err)
	}
	line, head := appendLine(nil, a.seq, a.head, endSignature(body, sig))
	if _, err := a.file.Write(line); err != nil {
		return fmt.Errorf("write anchor: %w", err)
	}
	for _, w := range a.seen { // after it is there: a witness never knows more
		w.Keep(Mark{a.seq, head})
	}
	a.seq, a.head, a.closed = a.seq+1, head, e.Closed
	return nil
}

// close unlocks the anchors.
func (a *anchors) close() error { return a.file.Close() }

// settle anchors the records whose processes are gone without having said so.
func (a *anchors) settle() error {
	dir, err := os.Open(filepath.Join(a.state, openDir))
	if err != nil {
		return fmt.Errorf("settle records: %w", err)
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(64)
		for _, id := range names {
			if err := a.settleOne(id); err != nil {
				return fmt.Errorf("settle record %q: %w", id, err)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("settle records: %w", err)
		}
	}
}

func (a *anchors) settleOne(id string) error {
	mark := filepath.Join(a.state, openDir, id)
	if !validID(id) {
		return nil
	}
	f, err := openPlain(recordPath(a.state, id))
	if errors.Is(err, os.ErrNotExist) {
		// Killed while it was being made, or deleted; its anchor, if there is one, tells.
		if err := os.RemoveAll(newDir(a.state, id)); err != nil {
			return err
		}
		return os.Remove(mark)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if running(f) {
		return nil
	}
	end, err := tailAnchor(a.state, id)
	if err != nil {
		return err
	}
	if err := a.add(end); err != nil {
		return err
	}
	// A segment that was being made when it was killed: nobody was told of its lines.
	if err := os.RemoveAll(NextFolder(a.state, id)); err != nil {
		return err
	}
	return os.Remove(mark)
}

// tailAnchor makes the closing anchor of a record that nobody writes any more.
func tailAnchor(state, id string) (anchor, error) {
	e := anchor{What: anchorKilled, ID: id}
	line, err := endOf(recordPath(state, id))
	if err != nil {
		return e, err
	}
	if e.Size, _, _, err = extent(recordPath(state, id)); err != nil {
		return e, err
	}
	l, err := parseLink(line)
	if err != nil {
		return e, nil // nothing that could be anchored; verify names it
	}
	e.At, e.Head = l.seq, l.hash
	if bytes.HasPrefix(l.body, []byte(`"kind":"end",`)) {
		e.What = anchorEnded
	}
	return e, nil
}

// anchorEnd anchors the end of r, which has been written.
func anchorEnd(r *Record) error {
	a, err := openAnchors(r.state, r.key, r.seen)
	if err != nil {
		return err
	}
	defer a.close()
	// Before the anchor: whoever reads that it has ended finds that nobody writes it.
	if err := flock(r.lock, unix.LOCK_UN); err != nil {
		return fmt.Errorf("close record: %w", err)
	}
	if err := a.add(anchor{What: anchorEnded, ID: r.id, At: r.seq - 1, Head: r.head, Size: r.size}); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(r.state, openDir, r.id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("close record: %w", err)
	}
	return nil
}
