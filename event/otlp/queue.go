package otlp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Destination is a receiver.
type Destination struct {
	Endpoint string `json:"endpoint"`          // the base URL
	Headers  string `json:"headers,omitempty"` // a file with headers, one a line; empty: none
}

// queueDir is the folder, below the state, with a file for each record that is not sent whole.
const queueDir = "otlp"

// Names in it that are no records.
const (
	lockPrefix    = ".sender-"  // and the receiver: held by who sends to it
	refusedPrefix = ".refused-" // and the id: the receiver did not take all of it
)

// An item is what is to be sent of one record.
type item struct {
	Destination
	// What comes next: all events before were acknowledged.
	Logs  uint64 `json:"logs"`
	Spans uint64 `json:"spans"`
	// Rejected counts what the receiver did not take; Says is its reason.
	Rejected int64  `json:"rejected,omitempty"`
	Says     string `json:"says,omitempty"`
}

// Enqueue notes that the record id is to be sent to d. It comes after the record was made.
func Enqueue(state, id string, d Destination) error {
	if err := os.MkdirAll(filepath.Join(state, queueDir), 0o700); err != nil {
		return fmt.Errorf("note what is to be sent: %w", err)
	}
	return save(state, id, &item{Destination: d})
}

// Queued says whether the record id is to be sent, and was not yet sent whole.
func Queued(state, id string) bool {
	_, err := os.Lstat(filepath.Join(state, queueDir, id))
	return !errors.Is(err, fs.ErrNotExist)
}

func save(state, id string, it *item) error {
	b, err := json.Marshal(it)
	if err != nil {
		return err
	}
	name := filepath.Join(state, queueDir, id)
	tmp := filepath.Join(state, queueDir, ".new-"+id)
	if err := writeWhole(tmp, b); err != nil {
		return fmt.Errorf("note what was sent: %w", err)
	}
	return os.Rename(tmp, name)
}

// writeWhole writes a file that is on the disk when it returns: renamed without that it may
// be empty after a power failure.
func writeWhole(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func load(state, id string) (*item, error) {
	b, err := os.ReadFile(filepath.Join(state, queueDir, id))
	if err != nil {
		return nil, err
	}
	var it item
	if err := json.Unmarshal(b, &it); err != nil || it.Endpoint == "" {
		return nil, errors.Join(errUnreadable, err)
	}
	return &it, nil
}

// errUnreadable says that what is noted of a record is no note of ours: a disk was full, or
// the power failed.
var errUnreadable = errors.New("what was sent of it cannot be read")

// Mend lets records of which the queue cannot be read any more be sent again from the
// beginning, to where everything else goes that waits. What goes nowhere, or to several
// receivers, is left, and named by stuck.
func Mend(state string) (again, stuck []string, err error) {
	ids, err := waiting(state)
	if err != nil {
		return nil, nil, err
	}
	var bad []string
	for _, id := range ids {
		if _, err := load(state, id); errors.Is(err, errUnreadable) {
			bad = append(bad, id)
		}
	}
	if len(bad) == 0 {
		return nil, nil, nil
	}
	all, err := destinations(state)
	if err != nil || len(all) != 1 {
		return nil, bad, err
	}
	for _, id := range bad {
		if err := save(state, id, &item{Destination: all[0]}); err != nil {
			return again, stuck, err
		}
		again = append(again, id)
	}
	return again, nil, nil
}

// waiting are the ids of the records that are not sent whole, oldest first.
func waiting(state string) ([]string, error) {
	list, err := os.ReadDir(filepath.Join(state, queueDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var ids []string
	for _, e := range list {
		if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
			ids = append(ids, e.Name())
		}
	}
	return ids, err
}

// destinations are the receivers that something waits for.
func destinations(state string) ([]Destination, error) {
	ids, err := waiting(state)
	var all []Destination
	for _, id := range ids {
		if it, err := load(state, id); err == nil && !slices.Contains(all, it.Destination) {
			all = append(all, it.Destination)
		}
	}
	return all, err
}
