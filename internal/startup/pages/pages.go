// Package pages gives back what of the running program only its start needed: pages
// that are unchanged come back from the page cache when they are touched.
//
// # Limitations
//
// It imports little, because it is also in processes that run before the rest of the
// program is initialised.
package pages

import "time"

// Settled is how long after its start a process has settled.
const Settled = 2 * time.Second

// Spans are parts of this program's file in memory whose pages are those of the file.
type Spans []span

// Clean finds them. It reads /proc.
func Clean() Spans { return clean() }

// Forget takes them out of this process's memory.
func (s Spans) Forget() { forget(s) }

// Trim gives back, once, what of the program is in memory and unchanged.
func Trim() { Clean().Forget() }

// TrimSettled gives it back when the process has settled. It reads /proc at once.
func TrimSettled() {
	code := Clean()
	time.AfterFunc(Settled, code.Forget)
}
