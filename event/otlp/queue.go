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

	"golang.org/x/net/http/httpguts"
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

func save(state, id string, it *item) error {
	b, err := json.Marshal(it)
	if err != nil {
		return err
	}
	name := filepath.Join(state, queueDir, id)
	tmp := filepath.Join(state, queueDir, ".new-"+id)
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("note what was sent: %w", err)
	}
	return os.Rename(tmp, name)
}

func load(state, id string) (*item, error) {
	b, err := os.ReadFile(filepath.Join(state, queueDir, id))
	if err != nil {
		return nil, err
	}
	var it item
	return &it, json.Unmarshal(b, &it)
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

// maxHeaders bounds the file of headers.
const maxHeaders = 64 << 10

// Headers reads a file with headers: "Name: value" a line; empty lines and those that begin
// with # count for nothing. An empty name has none.
func Headers(file string) (map[string]string, error) {
	h := map[string]string{}
	if file == "" {
		return h, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read headers for the receiver: %w", err)
	}
	if len(b) > maxHeaders {
		return nil, fmt.Errorf("%q is longer than %d bytes", file, maxHeaders)
	}
	for i, l := range strings.Split(string(b), "\n") {
		if l = strings.TrimSpace(l); l == "" || l[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(l, ":")
		value = strings.TrimSpace(value)
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("%q, line %d: not of the form Name: value", file, i+1) // never what it is: it may be a key
		}
		h[name] = value
	}
	return h, nil
}
