package event

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"os"
	"time"
)

func marksOf(seen []Witness) []Mark {
	var told []Mark
	for _, w := range seen {
		if m, ok := w.Last(); ok {
			told = append(told, m)
		}
	}
	return told
}

// judgeWitnesses compares the anchors with what others remember of them.
func (h *history) judgeWitnesses(told []Mark) {
	for _, m := range told {
		switch {
		case m.Seq >= uint64(len(h.hashes)):
			h.fault(len(h.hashes)+1, "lines at the end are missing: there are %d, and there were %d since the machine was started", len(h.hashes), m.Seq+1)
		case h.hashes[m.Seq] != m.Head:
			h.fault(int(m.Seq)+1, "the line is another one than was written")
		}
	}
}

// judgeKey looks at who signed the anchors. As each line names the one before, it is enough
// that the last one is signed by this user's key; those of a record are judged with it.
func (h *history) judgeKey(state string) {
	key, err := readKey(state)
	switch {
	case err == nil:
		h.key = key.text()
		key.Wipe()
	case !errors.Is(err, os.ErrNotExist):
		h.signed(0, "the key of records cannot be used: "+err.Error())
	}
	first := len(h.all)
	for i, a := range h.all {
		if a.Key != "" && first == len(h.all) {
			first = i
		}
		if a.Key == "" && i > first {
			h.signed(i+1, "the line is not signed, though lines before it are")
		}
	}
	last := len(h.all) - 1
	switch {
	case last < 0:
	case h.key == "" && first <= last:
		h.signed(0, "the key that signed them is not there")
	case h.key != "" && first > last:
		h.signed(last+1, "nothing is signed, though there is a key")
	case h.key != "" && h.signer(last) != h.key:
		h.signed(last+1, "the last line is not signed with this user's key")
	}
}

func (h *history) signed(line int, what string) {
	if len(h.faults) < maxFaults/2 {
		h.faults = append(h.faults, Fault{Kind: FaultSigned, Line: line, What: "the anchors: " + what})
	}
}

// signer is the user's key that stands behind a line: the one that signed it, or the one that
// signed the start of the record whose own key did; empty when none does.
func (h *history) signer(i int) string {
	by := h.signature(i)
	if by == "" || h.all[i].What != anchorEnded {
		return by
	}
	for _, j := range h.of[h.all[i].ID] {
		if a := h.all[j]; a.What == anchorStarted && a.RunKey == by {
			return h.signature(j)
		}
	}
	return by
}

// signature is the key whose signature is below a line; empty when it is wrong or missing.
func (h *history) signature(i int) string {
	l, err := parseLink(h.lines[i])
	if err != nil {
		return ""
	}
	if by, right := signedBy(&l, &h.all[i]); right {
		return by
	}
	return ""
}

// judgeSigned judges the signatures of a record's heads.
func (h *history) judgeSigned(r *Report, c *chain, started int) {
	if c.start == nil {
		return // told already
	}
	key := c.start.Key
	if key == "" {
		r.note("its heads are not signed: it was made before belljar did that")
		return
	}
	if public, err := base64.StdEncoding.DecodeString(key); err == nil && len(public) == ed25519.PublicKeySize {
		r.Signer = Fingerprint(public)
	}
	if key != h.key {
		r.note("its heads are signed with another key than this user has now")
	}
	for _, i := range h.of[r.ID] {
		a := &h.all[i]
		switch by := h.signer(i); {
		case by == "":
			r.fault(FaultSigned, 0, "the signature of its head at event %d (%s) is missing or wrong", a.At, a.What)
		case by != key && (a.What == anchorStarted || by != h.key): // a later run signs for one that was killed
			r.fault(FaultSigned, 0, "its head at event %d (%s) is signed with another key", a.At, a.What)
		}
	}
	if started >= 0 {
		c.judgeHead(h.all[started].RunKey)
	}
}

// readHead reads the signed head beside the record, and has the chain remember the line
// that it is about.
func (c *chain) readHead(state string) {
	b, err := readSmall(headPath(state, c.report.ID), headSize)
	if err == nil {
		c.head, err = parseHead(b, c.report.ID)
	}
	if c.headErr = err; err == nil {
		c.marks[c.head.At] = true
	}
}

// judgeHead compares the record with the signed head beside it.
func (c *chain) judgeHead(key string) {
	r := c.report
	switch head, there := c.seen[c.head.At]; {
	case errors.Is(c.headErr, os.ErrNotExist):
		r.fault(FaultSigned, 0, "the signed head beside it is not there")
	case c.headErr != nil:
		r.fault(FaultSigned, 0, "the signed head beside it was changed: %v", c.headErr)
	case c.head.Key != key:
		r.fault(FaultSigned, 0, "the signed head beside it is signed with another key")
	case !there:
		r.fault(FaultCut, 0, "event %d and what followed is missing: a head was signed there", c.head.At)
	case head != c.head.Head:
		r.fault(FaultSigned, 0, "event %d is not the one whose head was signed", c.head.At)
	case r.Status == Killed:
		r.note("its head was signed last at event %d, %s: a cut behind that would look like the kill", c.head.At, c.head.Time.UTC().Format(time.RFC3339))
	case r.Status == Ended && c.head.Head != r.Head:
		r.note("its process was killed while it was being closed")
	}
}
