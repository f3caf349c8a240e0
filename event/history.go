package event

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/terminal"
)

// A history is what the anchors of a state folder say.
type history struct {
	all    []anchor
	lines  [][]byte         // of all, as they stand in the file
	hashes []string         // of every line of the file; empty for what is none
	of     map[string][]int // indexes of all, by id
	faults []Fault
	open   map[string]bool // records that are marked as being written
	exist  []string        // ids of the records that are there, sorted
	key    string          // the public key of this user's; empty where there is none
}

// readAnchors reads and checks the anchors. What is wrong with them is in faults;
// the error says that they could not be read.
func readAnchors(state string, seen []Witness) (*history, error) {
	told := marksOf(seen) // first: they know no line that is not there
	h, err := readHistory(state)
	if err == nil {
		h.judgeKey(state)
		h.judgeWitnesses(told)
	}
	return h, err
}

// readHistory reads the anchors while nobody adds one: a record is not found between its folder
// and its anchor then.
func readHistory(state string) (*history, error) {
	h := &history{of: make(map[string][]int)}
	f, err := openPlain(filepath.Join(state, anchorsFile))
	if errors.Is(err, os.ErrNotExist) {
		h.fault(0, "there are no anchors")
		return h, h.list(state)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := lockWithin(f, unix.LOCK_SH, anchorWait); err != nil {
		return nil, fmt.Errorf("lock anchors: %w", err)
	}
	if err := h.list(state); err != nil {
		return nil, err
	}
	return h, h.read(f)
}

// list finds the records that are there, and those that are being written.
func (h *history) list(state string) (err error) {
	if h.exist, err = recordIDs(state); err != nil {
		return err
	}
	h.open, err = openRecords(state)
	return err
}

// openRecords are the records that are being written, and those whose end no anchor tells yet.
func openRecords(state string) (map[string]bool, error) {
	marks, err := os.ReadDir(filepath.Join(state, openDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	open := make(map[string]bool, len(marks))
	for _, m := range marks {
		open[m.Name()] = true
	}
	return open, nil
}

func (h *history) fault(line int, format string, args ...any) {
	if len(h.faults) < maxFaults/2 {
		h.faults = append(h.faults, Fault{Kind: FaultAnchors, Line: line, What: "the anchors: " + fmt.Sprintf(format, args...)})
	}
}

func (h *history) read(f *os.File) error {
	r := reader{in: bufio.NewReaderSize(f, 64<<10)}
	prev, closed := genesis("anchors", ""), ""
	for n := uint64(0); ; n++ {
		line, ok := r.nextLine()
		if !ok {
			return r.fail // a torn last line was never told to anybody
		}
		at := int(n) + 1
		h.hashes = append(h.hashes, "")
		if r.long {
			r.long = false
			h.fault(at, "the line is too long")
			continue
		}
		l, a, err := parseAnchor(line)
		if errors.Is(err, errForm) {
			h.fault(at, "it is no line of anchors")
			prev = ""
			continue
		}
		switch {
		case err != nil:
			h.fault(at, "the line was changed")
		case l.seq != n:
			h.fault(at, "it is number %d: lines are missing, doubled or moved", l.seq)
		case prev != "" && l.prev != prev:
			h.fault(at, "it does not continue the line before")
		}
		if a.What == anchorEnded || a.What == anchorKilled {
			closed = a.Head
		}
		if !validID(a.ID) {
			h.fault(at, "it names an impossible record")
		}
		if a.Closed != closed {
			h.fault(at, "it names another record as the last one")
		}
		prev, h.hashes[n] = l.hash, l.hash
		h.lines = append(h.lines, bytes.Clone(line))
		h.of[a.ID] = append(h.of[a.ID], len(h.all))
		h.all = append(h.all, a)
	}
}

// ids are those that exist and those that should: sorted, each once.
func (h *history) ids() []string {
	all := slices.Clone(h.exist)
	for id, at := range h.of {
		if len(at) > 0 && !h.removed(id) && validID(id) {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// named is the index of the last record of a name that began and was not
// removed; -1 for none.
func (h *history) named(name string) int {
	for i, a := range slices.Backward(h.all) {
		if a.What == anchorStarted && a.Name == name && !h.removed(a.ID) {
			return i
		}
	}
	return -1
}

func (h *history) removed(id string) bool {
	at := h.of[id]
	return len(at) > 0 && h.all[at[len(at)-1]].What == anchorRemoved
}

// judgeNewer looks for a record of the same name that began later and is not there:
// without it, the older one would be taken for the newest.
func (h *history) judgeNewer(r *Report, started int, state string) {
	newest := h.named(r.Name)
	if r.Name == "" || newest <= started {
		return
	}
	id := h.all[newest].ID
	if _, err := os.Lstat(recordPath(state, id)); errors.Is(err, os.ErrNotExist) {
		r.fault(FaultMissing, 0, "a newer record of this name, %s, is not there", terminal.Escape(id))
	}
}

// marks are the lines of record id whose hashes are anchored.
func (h *history) marks(id string) map[uint64]bool {
	m := make(map[uint64]bool)
	for _, i := range h.of[id] {
		m[h.all[i].At] = true
	}
	return m
}

func (h *history) judgeMissing(r *Report) {
	at := h.of[r.ID]
	if len(at) == 0 {
		return
	}
	last := h.all[at[len(at)-1]]
	for _, i := range at {
		if a := h.all[i]; a.What == anchorStarted {
			r.Name = a.Name
		}
	}
	if last.What == anchorRemoved {
		r.note("it was removed by belljar, with %d events", last.At+1)
		return
	}
	r.fault(FaultMissing, 0, "the record is not there; it had at least %d events", last.At+1)
}

// judge compares a record that was read with its anchors.
func (h *history) judge(r *Report, c *chain, state string) {
	started, closed := -1, -1
	for _, i := range h.of[r.ID] {
		a := h.all[i]
		switch a.What {
		case anchorStarted:
			if started >= 0 {
				r.fault(FaultAnchor, 0, "it was anchored twice at its start")
			}
			started = i
		case anchorEnded, anchorKilled:
			closed = i
		case anchorRemoved:
			r.fault(FaultAnchor, 0, "the anchors say that it was removed")
		}
		if a.Head == "" && a.What == anchorKilled {
			r.note("it was already damaged when its process was found gone")
			continue
		}
		if head, ok := c.seen[a.At]; !ok {
			r.fault(FaultCut, 0, "event %d and what followed is missing: the anchors know it", a.At)
		} else if head != a.Head {
			r.fault(FaultAnchor, 0, "event %d is not the one that was anchored (%s)", a.At, a.What)
		}
	}
	if started < 0 && !(h.open[r.ID] || c.line == 1) {
		r.fault(FaultAnchor, 0, "the anchors do not know its start")
	}
	if started >= 0 && c.start != nil && c.start.Previous != h.all[started].Closed {
		r.fault(FaultAnchor, 1, "it names another record as the one before than the anchors do")
	}
	h.judgeSigned(r, c, started)
	if started >= 0 {
		h.judgeNewer(r, started, state)
	}
	if closed >= 0 {
		h.judgeClosed(r, c, closed, state)
		return
	}
	switch {
	case r.Status == Running || r.Status == Damaged:
	case h.open[r.ID]:
		r.note("its end is not anchored yet: the next run does that")
	default:
		r.fault(FaultAnchor, 0, "its end is not anchored")
	}
}

// judgeClosed compares the end of a record with its closing anchor and with the
// record that was started next.
func (h *history) judgeClosed(r *Report, c *chain, closed int, state string) {
	a := h.all[closed]
	switch {
	case r.Status == Running:
		r.fault(FaultAnchor, 0, "it is being written although it was closed")
	case a.What == anchorEnded && r.Status != Ended:
		r.fault(FaultCut, 0, "its end event is missing: the anchors know it")
	case a.What == anchorKilled && r.Status == Ended:
		r.fault(FaultGrown, 0, "it has an end event, but the anchors say that it was killed")
	}
	if size := c.size + c.torn; size != a.Size {
		r.fault(FaultAnchor, 0, "it has %d bytes, but had %d when it was closed", size, a.Size)
	}
	for _, next := range h.all[closed+1:] {
		if next.What == anchorEnded || next.What == anchorKilled {
			return
		}
		if next.What != anchorStarted {
			continue
		}
		if !validID(next.ID) {
			return // told as a fault of the anchors
		}
		if i := inspect(state, next.ID); i.Start != nil && i.Start.Previous != r.Head {
			r.fault(FaultAnchor, 0, "the record started next, %s, names another head", next.ID)
		}
		return
	}
}
