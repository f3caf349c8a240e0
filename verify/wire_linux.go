package verify

import (
	"bufio"
	"encoding/base64"
	"errors"
	"io"
	"strings"
)

// The attacker writes lines to its standard output:
//
//	belljar-verify start ID
//	belljar-verify done ID 0|1 BASE64
//	belljar-verify hold
//
// start says that a row begins, done what it claims and what it found, hold that
// everything is done and that it waits, with everything it holds, for the end of
// its standard input.
const (
	linePrefix  = "belljar-verify "
	maxEvidence = 12 << 10 // bytes of what one row found
	maxLine     = 20 << 10
	maxTotal    = 8 << 20 // bytes of everything that is read
)

// A statement is what the attacker says of one row.
type statement struct {
	started  bool
	done     bool
	claim    bool
	evidence string
}

// statements are what it said so far, by row.
type statements struct {
	of      map[string]*statement
	started func(id string) // told of the first start line of a row; may be nil
}

// newStatements takes statements about rows only.
func newStatements(rows []*row) statements {
	s := statements{of: map[string]*statement{}}
	for _, r := range rows {
		s.of[r.id] = &statement{}
	}
	return s
}

var errTooMuch = errors.New("the attacker says too much")

// read takes lines from r until it ends, and calls hold when the attacker holds.
// Whatever is no statement about a known row is ignored. What a row found first
// stays; a claim of success stays whatever else is said.
func (s statements) read(r io.Reader, hold func()) error {
	b := bufio.NewReaderSize(io.LimitReader(r, maxTotal), maxLine)
	total, long := 0, false
	for {
		line, err := b.ReadSlice('\n')
		total += len(line)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			long = true // the rest of it is no line of its own
			continue
		case err != nil && total >= maxTotal:
			return errTooMuch
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if long {
			long = false
			continue
		}
		if s.line(strings.TrimRight(string(line), "\r\n")) && hold != nil {
			hold()
		}
	}
}

// line takes one line; true when it says hold.
func (s statements) line(l string) bool {
	l, ok := strings.CutPrefix(l, linePrefix)
	if !ok {
		return false
	}
	f := strings.Split(l, " ")
	if len(f) == 1 && f[0] == "hold" {
		return true
	}
	if len(f) < 2 || s.of[f[1]] == nil {
		return false
	}
	st := s.of[f[1]]
	switch {
	case f[0] == "start" && len(f) == 2:
		if !st.started && s.started != nil {
			s.started(f[1])
		}
		st.started = true
	case f[0] == "done" && len(f) == 4:
		e, err := base64.StdEncoding.DecodeString(f[3])
		if err != nil || len(e) > maxEvidence {
			return false
		}
		if !st.done {
			st.evidence = string(e)
		}
		st.started, st.done = true, true
		st.claim = st.claim || f[2] == "1"
	}
	return false
}

// startLine and doneLine are what the attacker writes.
func startLine(id string) string { return linePrefix + "start " + id + "\n" }

func doneLine(id string, claim bool, evidence string) string {
	if len(evidence) > maxEvidence {
		evidence = evidence[:maxEvidence]
	}
	c := "0"
	if claim {
		c = "1"
	}
	return linePrefix + "done " + id + " " + c + " " + base64.StdEncoding.EncodeToString([]byte(evidence)) + "\n"
}

const holdLine = linePrefix + "hold\n"
