package workspace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/belljar-dev/belljar/workspace/shadow"
)

// A journal is a folder beside the shadow, out of reach of the server that a
// sandbox talks to. Its log has one line per step, written before the step is
// taken; what a step takes away lies in a file of its own.
//
//	undo/next    the apply that goes on, or that was killed
//	undo/back    being taken back, to the end
//	undo/last    the last finished apply
//	undo/rest    what could not be taken back yet of what a run did
//
// Which steps were taken is not written down: a step was taken where the host has
// what the step was to leave.

// journalHead is the first line of a log.
const journalHead = "belljar-undo 1\n"

// ofRun is the file of a journal that was made of what a run did. It names the run.
const ofRun = "of-run"

// maxStep bounds one line of a log: two paths and a link's text in base64.
const maxStep = 64 << 10

// A state is what one place of the host holds.
type state struct {
	shadow.Base
	Target []byte `json:"target,omitempty"` // text of a symbolic link
	Blob   string `json:"blob,omitempty"`   // file of the journal with the content
	// Moved says that the blob is the file itself, which goes back as it is.
	Moved bool `json:"moved,omitempty"`
}

// A step takes one place of the host from a state to another; nil is nothing.
type step struct {
	Source []byte `json:"source"` // real path of the tree
	Path   []byte `json:"path"`   // in it
	Before *state `json:"before,omitempty"`
	After  *state `json:"after,omitempty"`
	// Hidden says that the sandbox did not see it: it never waits.
	Hidden bool `json:"hidden,omitempty"`
	// Void says that the step before this line was not taken.
	Void bool `json:"void,omitempty"`
}

func (s step) encode() []byte {
	b, err := json.Marshal(s)
	if err != nil { // numbers and strings: cannot happen
		panic(err)
	}
	return append(b, '\n')
}

// parseLog reads a log. A last line that was cut is a step that was not taken.
func parseLog(data []byte) ([]step, error) {
	rest, ok := bytes.CutPrefix(data, []byte(journalHead))
	if !ok {
		if bytes.HasPrefix([]byte(journalHead), data) {
			return nil, nil // cut in its first line
		}
		return nil, errors.New("not a journal of this version")
	}
	var out []step
	for n := 2; len(rest) > 0; n++ {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		if !whole {
			break
		}
		rest = after
		if len(line) > maxStep {
			return nil, fmt.Errorf("line %d of the journal is too long", n)
		}
		var s step
		if err := json.Unmarshal(line, &s); err != nil {
			return nil, fmt.Errorf("line %d of the journal: %w", n, err)
		}
		if s.Void {
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
			continue
		}
		if err := s.valid(); err != nil {
			return nil, fmt.Errorf("line %d of the journal: %w", n, err)
		}
		out = append(out, s)
	}
	return out, nil
}

// valid keeps a damaged log from leading anywhere.
func (s step) valid() error {
	if !cleanRel(string(s.Path)) {
		return errors.New("it names no place of a tree")
	}
	if len(s.Source) == 0 || s.Source[0] != '/' || bytes.IndexByte(s.Source, 0) >= 0 {
		return errors.New("it names no tree")
	}
	if s.Before == nil && s.After == nil {
		return errors.New("it changes nothing")
	}
	for _, st := range []*state{s.Before, s.After} {
		if st == nil {
			continue
		}
		if st.Blob != "" && !blobName(st.Blob) {
			return errors.New("it names no content")
		}
	}
	return nil
}

func blobName(n string) bool {
	for _, c := range []byte(n) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(n) <= 64
}

// cleanRel says whether rel is a relative path without empty, "." or ".." parts.
func cleanRel(rel string) bool {
	if rel == "" || len(rel) > 1<<15 {
		return false
	}
	for _, p := range bytes.Split([]byte(rel), []byte("/")) {
		if s := string(p); s == "" || s == "." || s == ".." || bytes.IndexByte(p, 0) >= 0 {
			return false
		}
	}
	return true
}
