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
	return c.withOpen(state)
}

// Recount is Size by a look at every record: tens of microseconds for each.
func Recount(state string) (int64, error) {
	fail := func(err error) (int64, error) {
		return 0, &belljar.Error{Op: "count the records' size", Err: err}
	}
	var c counted
	fi, err := os.Stat(filepath.Join(state, anchorsFile))
	if err == nil {
		c.Anchors = fi.Size()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	ids, err := recordIDs(state)
	if err != nil {
		return fail(err)
	}
	open := openRecords(state)
	for _, id := range ids {
		if open[id] {
			continue
		}
		n, err := sizeOf(state, id)
		if err != nil {
			return fail(err)
		}
		c.Bytes += n
	}
	if c.Anchors > 0 {
		c.keep(state)
	}
	return c.withOpen(state)
}

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

// withOpen adds the records that are being written, and those whose end no anchor tells yet.
func (c *counted) withOpen(state string) (int64, error) {
	total := c.Bytes
	for id := range openRecords(state) {
		if n, err := sizeOf(state, id); err == nil { // else it is only being made
			total += n
		}
	}
	return total, nil
}

func openRecords(state string) map[string]bool {
	open := map[string]bool{}
	dir, _ := os.ReadDir(filepath.Join(state, openDir)) // none yet
	for _, d := range dir {
		if validID(d.Name()) {
			open[d.Name()] = true
		}
	}
	return open
}

// sizeOf is how large a record is; 0 when it is removed meanwhile.
func sizeOf(state, id string) (int64, error) {
	n, _, _, err := extent(recordPath(state, id))
	if err != nil && removed(recordPath(state, id)) {
		return 0, nil
	}
	return n, err
}
