package event

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/belljar-dev/belljar"
)

// sizeFile keeps what Size has counted.
const sizeFile = "records-size"

// counted is what the closed records had together when the anchors were so long.
type counted struct {
	Bytes   int64 `json:"bytes"`
	Anchors int64 `json:"anchors"` // bytes of the anchors that it takes part of
}

// Size is how many bytes all records of a state folder have together. It does not look at
// each: what it found the last time is kept, and the anchors tell the size of every record that
// was closed or removed since. Records that are gone without [Remove] are counted until
// [Recount].
func Size(state string) (int64, error) {
	var c counted
	b, err := os.ReadFile(filepath.Join(state, sizeFile))
	if err != nil || json.Unmarshal(b, &c) != nil || c.Bytes < 0 || c.Anchors < 0 {
		return Recount(state)
	}
	before := c
	if err := c.follow(state); err != nil {
		return Recount(state)
	}
	if c != before {
		c.keep(state)
	}
	open, err := openRecords(state)
	if err != nil {
		return 0, sizeError(err)
	}
	return c.with(open, state), nil
}

// Recount is Size by a look at every record: tens of microseconds for each.
func Recount(state string) (int64, error) {
	var c counted
	fi, err := os.Stat(filepath.Join(state, anchorsFile))
	if err == nil {
		c.Anchors = fi.Size()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return 0, sizeError(err)
	}
	ids, err := recordIDs(state)
	if err != nil {
		return 0, sizeError(err)
	}
	open, err := openRecords(state)
	if err != nil {
		return 0, sizeError(err)
	}
	for _, id := range ids {
		if open[id] {
			continue
		}
		n, err := sizeOf(state, id)
		if err != nil {
			return 0, sizeError(err)
		}
		c.Bytes += n
	}
	if c.Anchors > 0 {
		c.keep(state)
	}
	return c.with(open, state), nil
}

// sizeError is the error of [Size] and [Recount].
func sizeError(err error) error { return &belljar.Error{Op: "count the records' size", Err: err} }

// follow takes part of the anchors that were written since.
func (c *counted) follow(state string) error {
	f, err := os.Open(filepath.Join(state, anchorsFile))
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if fi.Size() < c.Anchors {
		return errors.New("the anchors are others")
	}
	in := bufio.NewReader(io.NewSectionReader(f, c.Anchors, fi.Size()-c.Anchors))
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return nil // what is left is being written, or was cut by a kill
		}
		if err != nil {
			return err
		}
		var a anchor
		if err := json.Unmarshal(line, &a); err != nil {
			return err
		}
		c.Anchors += int64(len(line))
		switch a.What {
		case anchorEnded, anchorKilled:
			c.Bytes += a.Size
		case anchorRemoved:
			c.Bytes = max(c.Bytes-a.Size, 0)
		}
	}
}

// keep writes c down for the next one. Half of it, or nothing, is no harm: that one counts.
func (c *counted) keep(state string) {
	if b, err := json.Marshal(c); err == nil {
		_ = os.WriteFile(filepath.Join(state, sizeFile), b, 0o600)
	}
}

// with adds the open records.
func (c *counted) with(open map[string]bool, state string) int64 {
	total := c.Bytes
	for id := range open {
		if n, err := sizeOf(state, id); err == nil { // else it is only being made
			total += n
		}
	}
	return total
}

// sizeOf is how large a record is; 0 when it is removed meanwhile.
func sizeOf(state, id string) (int64, error) {
	n, _, _, err := extent(recordPath(state, id))
	if err != nil && removed(recordPath(state, id)) {
		return 0, nil
	}
	return n, err
}
