package cli

import (
	"time"

	"golang.org/x/term"
)

// How long something may take in silence, and how often it is told of then.
const (
	silence = time.Second
	tellOf  = 2 * time.Second
)

// progress tells who sits at a terminal how far a long apply or undo is; nil for all
// others, whose output is read by programs.
func (a *App) progress() func(done, total int) {
	if !term.IsTerminal(int(a.Err.Fd())) {
		return nil
	}
	return a.paced(time.Now)
}

// paced is progress by that clock, which begins with the first call.
func (a *App) paced(now func() time.Time) func(done, total int) {
	var next time.Time
	return func(done, total int) {
		switch t := now(); {
		case next.IsZero():
			next = t.Add(silence)
		case !t.Before(next) && done < total:
			a.note("%d of %d done", done, total)
			next = t.Add(tellOf)
		}
	}
}
