package terminal

import (
	"io"
	"maps"
	"sync"
	"unicode/utf8"

	"github.com/belljar-dev/belljar/internal/ablate"
)

// FilterOptions relax a [Filter]. The zero value is the default of belljar.
type FilterOptions struct {
	// Clipboard lets programs inside put text into the user's clipboard (OSC 52).
	// Reading it is never allowed.
	Clipboard bool
	// Notify lets programs inside show desktop notifications (OSC 9, OSC 777).
	Notify bool
	// NoQueries drops every question to the terminal: for output that is shown while
	// nobody reads the terminal's answers.
	NoQueries bool
	// SaveTitle has the terminal's title saved before the first change of it, so that
	// [Filter.Reset] brings it back.
	SaveTitle bool
}

// Bounds of what is kept of a sequence that is not whole yet.
const (
	maxCSI = 256
	maxOSC = 4 << 10
	// maxClipboard bounds an OSC 52 where it is allowed.
	maxClipboard = 128 << 10
)

// A Filter passes the output of a command to a terminal without the control
// sequences that reach beyond the screen; the package comment says which. It
// holds back what is not whole yet, at most a few KiB, so that what it writes
// never ends within a sequence or a character, and the result does not depend on
// how the input is cut into writes. Its methods are safe for concurrent use.
type Filter struct {
	w io.Writer
	o FilterOptions

	writing sync.Mutex // held by Write; never needed to ask or to close

	mu      sync.Mutex // never held while the underlying writer may block
	state   state
	seq     []byte // of the sequence in progress: everything behind ESC [ or ESC ]
	params  []int  // room for the numbers of a control sequence
	part    []byte // of a character that is not whole yet
	bell    bool   // BEL ends the string, as in OSC
	out     []byte
	dropped map[string]int
	changed changes
}

type state int

const (
	ground     state = iota
	escape1          // behind ESC
	escapeMore       // behind ESC and intermediate bytes, which are in seq
	csi              // behind ESC [
	csiSkip          // a control sequence that is dropped
	osc              // behind ESC ]
	oscEsc           // ESC within osc
	skip             // a string that is dropped
	skipEsc          // ESC within skip
)

const (
	bel = 0x07
	can = 0x18
	sub = 0x1a
	esc = 0x1b
	del = 0x7f
	enq = 0x05
)

// NewFilter returns a filter that writes to w.
func NewFilter(w io.Writer, o FilterOptions) *Filter {
	return &Filter{w: w, o: o, dropped: make(map[string]int), changed: newChanges()}
}

// Write filters p. Everything that is whole is written to the underlying writer
// by one call. It reports len(p) unless that fails.
func (f *Filter) Write(p []byte) (int, error) {
	f.writing.Lock()
	defer f.writing.Unlock()
	out := f.filter(p)
	if ablate.Off(ablate.Terminal) {
		out = p
	}
	if len(out) == 0 {
		return len(p), nil
	}
	if _, err := f.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// filter returns what passes of p, valid until the next call.
func (f *Filter) filter(p []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.out = f.out[:0]; cap(f.out) > 256<<10 {
		f.out = nil
	}
	if len(f.part) > 0 {
		p = append(f.part, p...)
		f.part = nil
	}
	f.run(p)
	return f.out
}

// Close ends the stream: a sequence that is not whole is dropped. It writes
// nothing and does not close the underlying writer. The terminal is as the
// sandbox left it; [Filter.Reset] says how to undo that.
func (f *Filter) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state != ground || len(f.part) > 0 {
		f.drop("unfinished sequence")
	}
	f.state, f.seq, f.part = ground, nil, nil
	return nil
}

// Dropped says how many sequences of which kind were kept from the terminal.
func (f *Filter) Dropped() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.dropped)
}

// Reset returns the sequences that undo what the sandbox changed at the terminal:
// alternate screen, mouse, bracketed paste, hidden cursor, colours, character
// sets and the like. It is empty when nothing has to be undone.
func (f *Filter) Reset() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed.undo()
}

// queries says whether questions to the terminal pass from now on.
func (f *Filter) queries(pass bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.o.NoQueries = !pass
}

// screen says whether a program has the whole screen, and with which sequences another
// terminal comes to the same modes.
func (f *Filter) screen() (whole bool, modes []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed.screen()
}

// draws says whether a program draws on the screen.
func (f *Filter) draws() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed.draws()
}

// Queries says how many questions to the terminal have passed, each of which it
// answers through its input.
func (f *Filter) Queries() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed.queries
}

func (f *Filter) drop(what string) { f.dropped[what]++ }

// run moves the state machine over p. What is left of it is in f.part.
func (f *Filter) run(p []byte) {
	for i := 0; i < len(p); {
		switch f.state {
		case ground:
			n := f.text(p[i:])
			if n < 0 {
				f.part = append([]byte(nil), p[i:]...)
				return
			}
			i += n
		case skip:
			i += f.skipString(p[i:])
		default:
			if f.step(p[i]) {
				i++
			}
		}
	}
}

// step takes one byte of a sequence. It returns false when the byte belongs to
// what follows.
func (f *Filter) step(c byte) bool {
	switch f.state {
	case osc, oscEsc:
		return f.stepOSC(c)
	case skipEsc:
		f.state = ground
		if c == '\\' {
			return true
		}
		f.state = escape1
		f.seq = f.seq[:0]
		return false
	}
	switch {
	case c == esc:
		f.drop("malformed sequence")
		f.state = escape1
		f.seq = f.seq[:0]
		return true
	case c == can || c == sub:
		f.state = ground
		return true
	case c < ' ':
		f.control(c) // executed at once, as terminals do
		return true
	case c == del:
		return true
	case c >= utf8.RuneSelf:
		f.drop("malformed sequence")
		f.state = ground
		return false
	}
	switch f.state {
	case escape1, escapeMore:
		f.stepEscape(c)
	case csi, csiSkip:
		f.stepCSI(c)
	}
	return true
}

func (f *Filter) stepEscape(c byte) {
	if c < '0' {
		f.state = escapeMore
		if len(f.seq) < 4 {
			f.seq = append(f.seq, c)
		}
		return
	}
	if f.state == escape1 {
		switch c {
		case '[':
			f.state = csi
			return
		case ']':
			f.state = osc
			return
		case 'P':
			f.startSkip("device control string (DCS)", false)
			return
		case 'X':
			f.startSkip("string (SOS)", false)
			return
		case '^':
			f.startSkip("privacy message (PM)", false)
			return
		case '_':
			f.startSkip("application command (APC)", false)
			return
		case 'k':
			f.startSkip("window name (ESC k)", false)
			return
		}
	}
	f.state = ground
	f.endEscape(c)
}

// endEscape judges ESC, the intermediate bytes in seq, and the final byte c.
func (f *Filter) endEscape(c byte) {
	name := string(f.seq) + string(rune(c))
	switch what, ok := escapes[name]; {
	case name == `\`: // the end of a string that was dropped
	case !ok:
		f.drop("escape sequence")
	case what != "":
		f.drop(what)
	default:
		f.changed.escape(name)
		f.out = append(append(append(f.out, esc), f.seq...), c)
	}
}

func (f *Filter) stepCSI(c byte) {
	if c >= '@' {
		skipped := f.state == csiSkip
		f.state = ground
		if skipped {
			f.drop("malformed sequence")
			return
		}
		f.endCSI(c)
		return
	}
	if len(f.seq) == maxCSI {
		f.state = csiSkip
	}
	if f.state == csi {
		f.seq = append(f.seq, c)
	}
}

func (f *Filter) startSkip(what string, bell bool) {
	f.drop(what)
	f.state, f.bell = skip, bell
}

// skipString drops bytes up to the end of a string and returns how many.
func (f *Filter) skipString(p []byte) int {
	for i, c := range p {
		switch {
		case c == esc:
			f.state = skipEsc
			return i + 1
		case c == can, c == sub, c == bel && f.bell:
			f.state = ground
			return i + 1
		}
	}
	return len(p)
}

func (f *Filter) stepOSC(c byte) bool {
	if f.state == oscEsc {
		f.state = ground
		if c == '\\' {
			f.endOSC("\x1b\\")
			return true
		}
		f.drop("malformed sequence")
		f.state = escape1
		f.seq = f.seq[:0]
		return false
	}
	most := maxOSC
	if f.o.Clipboard {
		most = maxClipboard
	}
	switch {
	case c == bel:
		f.state = ground
		f.endOSC("\a")
	case c == esc:
		f.state = oscEsc
	case c == can || c == sub:
		f.drop("malformed sequence")
		f.state = ground
	case c < ' ' || c == del || len(f.seq) == most:
		f.startSkip(oscName(f.seq), true)
		f.seq = f.seq[:0]
	default:
		f.seq = append(f.seq, c)
	}
	return true
}
