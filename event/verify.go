package event

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/belljar-dev/belljar"
)

// maxFaults bounds the faults of one report.
const maxFaults = 100

// A FaultKind says what is wrong with a record.
type FaultKind string

// The kinds of faults.
const (
	FaultEdited  FaultKind = "edited"  // a line does not have the content whose hash it states
	FaultForm    FaultKind = "form"    // a line is no line of a record
	FaultOrder   FaultKind = "order"   // lines are missing, doubled, moved or from elsewhere
	FaultForeign FaultKind = "foreign" // the record is not the one that its folder names
	FaultCut     FaultKind = "cut"     // lines at the end are missing
	FaultGrown   FaultKind = "grown"   // there is something behind the end
	FaultAnchor  FaultKind = "anchor"  // the anchors do not know the record, or know another head
	FaultMissing FaultKind = "missing" // the anchors know the record, but it is not there
	FaultAnchors FaultKind = "anchors" // the anchors themselves are damaged
	FaultSigned  FaultKind = "signed"  // a signature is missing, wrong, or of another key
)

// A Fault is one thing that is wrong.
type Fault struct {
	Kind FaultKind `json:"kind"`
	Line int       `json:"line,omitempty"` // of the record, or of the anchors; 1-based; 0: the whole
	What string    `json:"what"`           // one sentence; safe for a terminal
}

// A Report is the judgement on one record.
type Report struct {
	ID     string  `json:"id"`
	Name   string  `json:"name,omitempty"`
	Path   string  `json:"path"`
	Status Status  `json:"status"`
	Events int     `json:"events"`           // whole lines
	Head   string  `json:"head"`             // hash of the last one
	Bytes  int64   `json:"bytes"`            // of whole lines
	Signer string  `json:"signer,omitempty"` // fingerprint of the key that its heads are signed with
	Faults []Fault `json:"faults"`           // at most 100; empty: nothing was changed
	More   int     `json:"more,omitempty"`
	// Notes are no faults, but are to be known: that the process was killed, that the
	// last line is torn, that it is still running.
	Notes []string `json:"notes,omitempty"`
}

// OK says that the record has no fault.
func (r *Report) OK() bool { return len(r.Faults) == 0 }

func (r *Report) fault(k FaultKind, line int, format string, args ...any) {
	if len(r.Faults) == maxFaults {
		r.More++
		return
	}
	r.Faults = append(r.Faults, Fault{Kind: k, Line: line, What: fmt.Sprintf(format, args...)})
}

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// Verify judges the record id of a state folder: its chain, its end, its anchors,
// its signatures, the record that was started after it, what witnesses saw, and whether a
// later record of the same name is missing. Instead of an id it takes the name of a sandbox of which only
// the anchors know. The error says that it could not be judged; what is wrong with
// the record is in the report. A record of which neither the folder nor an anchor
// exists is an error of KindNoSuch.
func Verify(state, id string, seen ...Witness) (Report, error) {
	fail := func(err error, k belljar.Kind) (Report, error) {
		return Report{}, &belljar.Error{Op: "verify record", ID: id, Kind: k, Err: err}
	}
	if !validID(id) {
		return fail(errors.New("impossible id"), belljar.KindUsage)
	}
	known, err := readAnchors(state, seen)
	if err != nil {
		return fail(err, belljar.KindInternal)
	}
	if _, err := os.Lstat(recordPath(state, id)); err != nil && len(known.of[id]) == 0 {
		if newest := known.named(id); newest >= 0 {
			id = known.all[newest].ID
		}
	}
	if !validID(id) {
		return fail(errors.New("the anchors name an impossible id"), belljar.KindInternal)
	}
	r, known, err := verifyNow(state, id, known, seen)
	if err != nil {
		return fail(err, belljar.KindInternal)
	}
	if r.Status == Missing && len(known.of[id]) == 0 {
		return fail(os.ErrNotExist, belljar.KindNoSuch)
	}
	return r, nil
}

// VerifyAll judges every record that exists or that the anchors know, in the
// order of their ids.
func VerifyAll(state string, seen ...Witness) ([]Report, error) {
	fail := func(err error) ([]Report, error) {
		return nil, &belljar.Error{Op: "verify records", Err: err}
	}
	known, err := readAnchors(state, seen)
	if err != nil {
		return fail(err)
	}
	var reports []Report
	for _, id := range known.ids() {
		r, now, err := verifyNow(state, id, known, seen)
		if err != nil {
			return fail(err)
		}
		if known = now; r.Status == Missing && known.removed(id) {
			continue // it was removed meanwhile
		}
		reports = append(reports, r)
	}
	return reports, nil
}

// verifyTries is how often a record in which something is wrong is judged, while others go on to be
// written and removed.
const verifyTries = 8

// verifyNow is [verifyOne], which finds nothing wrong in what was removed, or has ended, since the
// anchors were read: then these have more lines, and it judges by them. It returns what it went by.
func verifyNow(state, id string, known *history, seen []Witness) (r Report, by *history, err error) {
	for range verifyTries {
		if r, err = verifyOne(state, id, known); err == nil && r.OK() {
			return r, known, nil
		}
		now, e := readAnchors(state, seen)
		if e != nil || len(now.hashes) == len(known.hashes) {
			break
		}
		known = now
	}
	return r, known, err
}

func verifyOne(state, id string, known *history) (Report, error) {
	r := Report{ID: id, Path: recordPath(state, id), Faults: []Fault{}}
	for _, f := range known.faults {
		r.fault(f.Kind, f.Line, "%s", f.What)
	}
	f, err := openSegment(r.Path, 0) // which its writer has locked
	if errors.Is(err, os.ErrNotExist) {
		r.Status = Missing
		known.judgeMissing(&r)
		if all, err := segmentsOf(r.Path); err == nil && len(all) > 1 {
			r.fault(FaultMissing, 0, "its first segment is not there, and %d others are", len(all)-1)
		}
		return r, nil
	}
	if err != nil {
		r.unreadable(err)
		return r, nil
	}
	defer f.Close()
	alive := running(f)
	c := chain{report: &r, prev: genesis("record", id), marks: known.marks(id), seen: make(map[uint64]string)}
	c.readHead(state) // first: it knows no line that is not there
	in, err := openReader(r.Path, Filter{})
	if err != nil {
		return r, err
	}
	defer in.files.Close()
	if err := c.read(in); err != nil {
		r.unreadable(err)
		return r, nil
	}
	r.Bytes = c.size
	c.finish(alive)
	known.judge(&r, &c, state)
	return r, nil
}

// unreadable says that there is something that could not be read: one such record does not keep
// others from being judged.
func (r *Report) unreadable(err error) {
	r.Status = Damaged
	r.fault(FaultForm, 0, "it cannot be read: %v", err)
}

// A chain reads the lines of one record and judges how they hang together.
type chain struct {
	report *Report
	marks  map[uint64]bool   // lines whose hashes the anchors state
	seen   map[uint64]string // their hashes

	line  int
	files int       // the segment that the next line is in
	next  uint64    // the number that the next line must have
	prev  string    // and the hash that it must name
	size  int64     // bytes of whole lines
	torn  int64     // bytes behind them
	end   bool      // the last line was the end event
	first bool      // and the first of a segment
	last  time.Time // of the last line, where it can be read
	start *belljar.StartEvent

	head    anchor // the signed head beside the record
	headErr error  // why it cannot be read
}

func (c *chain) read(r *reader) error {
	for {
		line, ok := r.nextLine()
		if !ok {
			c.torn = r.read - c.size
			c.judgeLast(r)
			return r.fail
		}
		before := c.size
		if r.gap != nil {
			c.report.fault(FaultCut, 0, "%v", r.gap)
			r.gap, c.prev = nil, ""
			continue
		}
		c.size = r.read
		c.line++
		if r.long {
			r.long = false
			c.report.fault(FaultForm, c.line, "longer than %d bytes", maxLine)
			c.next++
			c.prev = ""
			continue
		}
		c.take(line)
		c.takeSegment(r, line, before)
	}
}

// take judges one whole line.
func (c *chain) take(line []byte) {
	r := c.report
	c.first = false
	if c.end {
		r.fault(FaultGrown, c.line, "it stands behind the end event")
	}
	l, err := parseLink(line)
	if errors.Is(err, errForm) {
		r.fault(FaultForm, c.line, "%v", err)
		c.next++
		c.prev = ""
		return
	}
	if err != nil {
		r.fault(FaultEdited, c.line, "its content was changed: %v", err)
	}
	switch {
	case l.seq > c.next:
		r.fault(FaultOrder, c.line, "it is event %d, but event %d was expected: %d are missing here", l.seq, c.next, l.seq-c.next)
	case l.seq < c.next:
		r.fault(FaultOrder, c.line, "it is event %d, but event %d was expected: it was moved or doubled", l.seq, c.next)
	case c.prev != "" && l.prev != c.prev:
		r.fault(FaultOrder, c.line, "it does not continue the line before, which was replaced, or it comes from another record")
	}
	if c.line == 1 {
		c.takeStart(line)
	}
	if c.marks[l.seq] {
		c.seen[l.seq] = l.hash
	}
	if _, when, ok := header(line); ok {
		c.last = when
	}
	c.end = bytes.HasPrefix(l.body, []byte(`"kind":"end",`))
	c.first = bytes.HasPrefix(l.body, []byte(`"kind":"segment",`))
	c.next, c.prev = l.seq+1, l.hash
	r.Events++
	r.Head = l.hash
}

func (c *chain) takeStart(line []byte) {
	e, err := parseEntry(line)
	if err != nil || e.Start == nil {
		c.report.fault(FaultForm, c.line, "the first line is no start event")
		return
	}
	c.start = e.Start
	c.report.Name = e.Start.Name
	if e.Start.ID != c.report.ID {
		c.report.fault(FaultForeign, c.line, "it is the record of another sandbox, %q", e.Start.ID)
	}
}

// finish judges how the record ends.
func (c *chain) finish(alive bool) {
	r := c.report
	switch {
	case c.line == 0:
		r.Status = Damaged
		r.fault(FaultCut, 0, "the record is empty")
		return
	case alive:
		r.Status = Running
		r.note("it is still running")
		return
	case c.end:
		r.Status = Ended
		if c.torn > 0 {
			r.fault(FaultGrown, c.line+1, "%d bytes stand behind the end event", c.torn)
		}
		return
	}
	r.Status = Killed
	r.note("it ended without saying so: its process was killed, or the machine stopped")
	if c.torn > 0 {
		r.note("the last line is torn: %d bytes were being written when the process was killed", c.torn)
	}
	r.note("the last event is of %s. Commands, refusals and limits are on record before the sandbox goes on: none is missing; of files, "+
		"connections and requests those of the last %d ms before the kill may be", c.last.UTC().Format(time.RFC3339Nano), mostLost.Milliseconds())
}

// CheckChain reads the lines of record id from in, those of all its segments, and returns the hash of the last one and
// how many there are. The error is the first thing that is wrong with how they hang together.
func CheckChain(in io.Reader, id string) (head string, events int, err error) {
	r := Report{ID: id}
	c := chain{report: &r, prev: genesis("record", id), seen: make(map[uint64]string)}
	if err := c.read(&reader{in: bufio.NewReaderSize(in, 256<<10)}); err != nil {
		return "", 0, err
	}
	if len(r.Faults) > 0 {
		f := r.Faults[0]
		return "", 0, fmt.Errorf("line %d: %s", f.Line, f.What)
	}
	return r.Head, r.Events, nil
}
