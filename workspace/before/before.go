// Package before keeps what the host had at each place that a run is about to change,
// so that an undo can bring it back: never a copy of the tree, only what is overwritten,
// removed or renamed, once, before it is touched.
//
// The file server writes it, below its shadow, which is outside of the sandbox's reach:
//
//	SHADOW/views/KEY/before/RUN/log   one line per place, in the order of the first touch
//	SHADOW/views/KEY/before/RUN/N     a content that is too large for its line
//
// RUN begins with the time of the start in hexadecimal, and is the same in every tree. A line
// is on disk, with its content, before the place is touched: a run that is killed leaves
// for each place either a whole line or an untouched place. When the server ends in order
// it adds how it left each place. Without that, what was changed later than the log was
// is not the run's. What somebody on the host has saved at a place that the run had
// touched is kept anew before the run touches it again: that is what comes back.
//
// # Limitations
//
// Contents over [MaxFile], or beyond [MaxRun] in all, are not kept, nor those that we may
// not read: the line says so. Where there is no room for it, or it fails, the place is
// not touched. Beyond [MaxPlaces] places nothing is written down, and a line says that;
// new places have a count of their own. Nothing is synced: a
// power cut may lose it. Two names of one file come back as two files. Of the top folder
// itself, and of objects of git, nothing is kept.
package before

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/belljar-dev/belljar/workspace/shadow"
)

// What a run's images may take.
const (
	MaxFile   = 256 << 20 // bytes of one file
	MaxRun    = 1 << 30   // bytes of all
	MaxPlaces = 200_000
	KeepRuns  = 4 // per tree; the oldest go when a new one begins

	// maxInline is what stands in the line itself: making a file takes longer.
	maxInline = 16 << 10
	// maxLine bounds one line: a path and a link's text or content, in base64.
	maxLine = 128 << 10
	// maxLog bounds the first lines of new places, and those of all others: who reads a
	// log reads all of it, and nobody else counts it.
	maxLog = 64 << 20
	// maxOver bounds the memory for new places that are not written down any more.
	maxOver = 1 << 20
	// maxAgain is how often a place is kept anew that the host goes on to change.
	maxAgain = 16
)

const head = "belljar-before 1\n"

// Mark says what a line is about.
type Mark string

// The marks.
const (
	First Mark = ""      // what was there before the first touch
	Left  Mark = "left"  // what the run left there
	Host  Mark = "host"  // somebody on the host changed it during the run
	Again Mark = "again" // what the host had made of it, before the run touched it again
	Full  Mark = "full"  // later places are not written down
	Done  Mark = "done"  // the server ended in order: all that it left is said
	Begun Mark = "begun" // the first line: Mode
)

// A line is one line of a log.
type line struct {
	Mark Mark         `json:"mark,omitempty"`
	Path []byte       `json:"path,omitempty"`
	Was  *shadow.Base `json:"was,omitempty"`  // nil: nothing
	Text []byte       `json:"text,omitempty"` // of a symbolic link, or the content
	Blob string       `json:"blob,omitempty"`
	Lost string       `json:"lost,omitempty"`
	Mode string       `json:"mode,omitempty"`
	// Hidden is said of what the sandbox does not see.
	Hidden bool `json:"hidden,omitempty"`
}

// A Place is one place that a run changed, or was about to.
type Place struct {
	Path string
	// Was is what was there before, or what somebody on the host had made of it before
	// the run touched it for the last time; nil: nothing was there.
	Was  *shadow.Base
	Text []byte // of a link, or the content of a file without Blob
	Blob string // name of the file with the content
	Lost string // why the content was not kept; empty: it was
	// Host says that somebody on the host changed it after the run had.
	Host bool
	// Hidden says that the sandbox does not see it: it came along with a folder.
	Hidden bool
	// Said says that Left, nil for nothing, is what the run left.
	Said bool
	Left *shadow.Base
}

// A Log is what is known of one run in one tree.
type Log struct {
	Mode   string // of the workspace
	Places []Place
	Full   bool // and there was more
	Done   bool // the run said all that it left
}

func (l line) encode() []byte {
	b, err := json.Marshal(l)
	if err != nil { // numbers and strings: cannot happen
		panic(err)
	}
	return append(b, '\n')
}

// Parse reads a log. A last line that was cut is of a place that was not touched.
func Parse(data []byte) (Log, error) {
	var l Log
	rest, ok := bytes.CutPrefix(data, []byte(head))
	if !ok {
		if bytes.HasPrefix([]byte(head), data) {
			return l, nil
		}
		return l, errors.New("not the log of a run of this version")
	}
	at := map[string]int{}
	for n := 2; len(rest) > 0; n++ {
		text, after, whole := bytes.Cut(rest, []byte("\n"))
		if !whole {
			break
		}
		rest = after
		if err := l.take(text, at); err != nil {
			return Log{}, fmt.Errorf("line %d of a run's log: %w", n, err)
		}
	}
	return l, nil
}

func (l *Log) take(text []byte, at map[string]int) error {
	if len(text) > maxLine {
		return errors.New("it is too long")
	}
	var x line
	if err := json.Unmarshal(text, &x); err != nil {
		return err
	}
	switch x.Mark {
	case Begun:
		l.Mode = x.Mode
		return nil
	case Full:
		l.Full = true
		return nil
	case Done:
		l.Done = true
		return nil
	}
	path := string(x.Path)
	if !cleanRel(path) || !plainName(x.Blob) {
		return errors.New("it names no place of a tree")
	}
	i, known := at[path]
	switch {
	case x.Mark == First && !known:
		if len(l.Places) >= 2*MaxPlaces {
			return errors.New("there are too many")
		}
		at[path] = len(l.Places)
		l.Places = append(l.Places, Place{Path: path, Was: x.Was, Text: x.Text, Blob: x.Blob, Lost: x.Lost, Hidden: x.Hidden})
	case x.Mark == First: // the first word counts
	case !known:
		return errors.New("it is about a place that was not touched")
	case x.Mark == Again:
		l.Places[i] = Place{Path: path, Was: x.Was, Text: x.Text, Blob: x.Blob, Lost: x.Lost, Hidden: x.Hidden}
	case x.Mark == Host:
		l.Places[i].Host = true
	case x.Mark == Left:
		l.Places[i].Said, l.Places[i].Left = true, x.Was
	default:
		return errors.New("its mark is unknown")
	}
	return nil
}

// cleanRel says whether rel is a relative path without empty, "." or ".." parts.
func cleanRel(rel string) bool {
	if rel == "" || len(rel) > 1<<15 || bytes.IndexByte([]byte(rel), 0) >= 0 {
		return false
	}
	for _, p := range bytes.Split([]byte(rel), []byte("/")) {
		if s := string(p); s == "" || s == "." || s == ".." {
			return false
		}
	}
	return true
}

// plainName says whether n is one of the names that [Writer] gives, or none.
func plainName(n string) bool {
	for _, c := range []byte(n) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(n) <= 20
}
