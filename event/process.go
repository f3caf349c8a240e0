package event

import (
	"time"
)

// A Process is what the lines of a record up to now say of one process.
type Process struct {
	Path  string    // of the program that it executed last
	Began time.Time // when it executed its first one
	Depth int       // how many processes above it are known; 0: none

	mine bool // a [Filter].Process means it
}

// maxProcesses bounds the processes whose end is waited for.
const maxProcesses = 100_000

// A selector is a filter that knows what came before.
type selector struct {
	Filter
	live map[int]*Process // by number, those that have not ended
}

// match says whether e is selected, and tells it of its process.
func (s *selector) match(e *Entry) bool {
	switch {
	case e.Exec != nil:
		s.executed(e)
	case e.Exit != nil:
		e.Process = s.live[e.Exit.PID]
		delete(s.live, e.Exit.PID)
	}
	switch {
	case s.Process == "":
	case e.Exec != nil:
		if !s.matchProgram(e.Exec) {
			return false
		}
	case e.Process == nil || !e.Process.mine:
		return false
	}
	return s.matchOthers(e)
}

func (s *selector) executed(e *Entry) {
	x := e.Exec
	p := &Process{Path: x.Path, Began: e.Time, mine: s.Process != "" && s.matchProgram(x)}
	was := s.live[x.PID]
	if above := s.live[x.Parent]; above != nil && above != was {
		p.Depth = above.Depth + 1
	}
	if was != nil { // one program after another in one process
		p.Began, p.Depth = was.Began, max(was.Depth, p.Depth)
	}
	e.Process = p
	if x.Refused != "" || was == nil && len(s.live) >= maxProcesses {
		return
	}
	if s.live == nil {
		s.live = make(map[int]*Process)
	}
	s.live[x.PID] = p
}
