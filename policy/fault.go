package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/belljar-dev/belljar"
)

// maxFaults bounds how many faults of one policy are reported.
const maxFaults = 100

// A Fault is one thing that is wrong in a policy, with the place where it was written.
type Fault struct {
	File       string `json:"file"`           // the file, the preset or the flag
	Line       int    `json:"line,omitempty"` // 1-based; 0 when there is no line
	Column     int    `json:"column,omitempty"`
	Key        string `json:"key,omitempty"` // such as network.allow
	Message    string `json:"message"`
	Suggestion string `json:"suggestion,omitempty"`

	source string // the source line
	width  int    // of what the caret underlines
}

// String is the fault as people read it: place, message, source line with a
// caret, suggestion. Control characters of the source are escaped.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(printable(f.File))
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	b.WriteString(": ")
	if f.Key != "" {
		b.WriteString(printable(f.Key) + ": ")
	}
	b.WriteString(printable(f.Message))
	if f.Line > 0 && f.source != "" {
		f.excerpt(&b)
	}
	if f.Suggestion != "" {
		b.WriteString("\n      " + printable(f.Suggestion))
	}
	return b.String()
}

// excerpt writes the source line and a caret line below it.
func (f Fault) excerpt(b *strings.Builder) {
	const before, most = 60, 120
	line := []rune(f.source)
	col := min(max(f.Column-1, 0), len(line))
	start := 0
	if len(line) > most && col > before {
		start = col - before
	}
	end := min(len(line), start+most)
	lead := printable(string(line[start:col]))
	fmt.Fprintf(b, "\n%5d | %s\n      | %s%s", f.Line, printable(string(line[start:end])),
		strings.Repeat(" ", len([]rune(lead))), strings.Repeat("^", max(1, min(f.width, end-col))))
}

// Faults is everything that is wrong in a policy, in the order of the layers.
type Faults []Fault

// Error lists every fault.
func (fs Faults) Error() string {
	s := make([]string, len(fs))
	for i, f := range fs {
		s[i] = f.String()
	}
	return strings.Join(s, "\n")
}

// Untrusted says that a project's policy file is well formed, but allows more than
// the user's policy does, and that the user has not trusted it as it is now.
type Untrusted struct {
	File   string // the project's policy file
	Hash   string // of all bytes parsed, as [Trust.Trust] takes it
	Faults Faults // what widens
}

// Error lists what widens.
func (u *Untrusted) Error() string { return u.Faults.Error() }

// printable escapes every rune that a terminal might obey or that could hide text:
// controls, bidi and other format characters, invalid UTF-8.
func printable(s string) string {
	clean := true
	for _, r := range s {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\t':
			b.WriteByte(' ')
		case r == unicode.ReplacementChar || unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// A mark is a place in a source.
type mark struct {
	src              *source
	line, col, width int
}

// origin is the mark as explanations show it.
func (m mark) origin() belljar.Origin {
	o := belljar.Origin{Layer: m.src.layer, File: m.src.file, Line: m.line}
	o.Text = strings.TrimSpace(m.src.text(m.line))
	return o
}

// place is "file:line" for use within a sentence.
func (m mark) place() string {
	if m.line == 0 {
		return m.src.file
	}
	return fmt.Sprintf("%s:%d", m.src.file, m.line)
}

// A report collects faults.
type report struct {
	faults Faults
	more   int // faults beyond maxFaults
}

func (r *report) add(m mark, key, suggestion, format string, args ...any) {
	if len(r.faults) >= maxFaults {
		r.more++
		return
	}
	r.faults = append(r.faults, Fault{
		File: m.src.file, Line: m.line, Column: m.col, Key: key,
		Message: fmt.Sprintf(format, args...), Suggestion: suggestion,
		source: m.src.text(m.line), width: m.width,
	})
}

// all is every fault, those of one file in the order of its lines, with a last one
// that counts what was left out.
func (r *report) all() Faults {
	for start := 0; start < len(r.faults); {
		end := start
		for end < len(r.faults) && r.faults[end].File == r.faults[start].File {
			end++
		}
		slices.SortStableFunc(r.faults[start:end], func(a, b Fault) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		start = end
	}
	if r.more == 0 {
		return r.faults
	}
	last := r.faults[len(r.faults)-1]
	return append(r.faults, Fault{File: last.File, Message: fmt.Sprintf("%d more faults are not shown", r.more)})
}
