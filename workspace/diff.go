package workspace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/belljar-dev/belljar/terminal"
)

var errNothing = errors.New("nothing waits there")

// DiffOptions choose the form of a diff.
type DiffOptions struct {
	Color    bool // for a terminal
	Stat     bool // one line per change, with the number of lines
	NameOnly bool // names only
}

// maxShown is the largest file whose lines are compared.
const maxShown = 4 << 20

// side is one version of a file for a diff.
type side struct {
	kind   FileKind
	exists bool
	perm   uint32
	data   []byte // content, or the text of a link
	size   int64
	unread string // why there is no data
}

// writeChange prints one change. Every byte from inside is escaped.
func writeChange(w io.Writer, c Change, before, after side, o DiffOptions) error {
	edits, why := contents(c, before, after)
	pr := &printer{w: w, color: o.Color}
	switch {
	case o.NameOnly:
		pr.line("", c.Name())
	case o.Stat:
		pr.stat(c, edits, why)
	default:
		pr.head(c, before, after)
		if c.To != "" {
			break // shown with its new name
		}
		if why != "" {
			pr.line("", terminal.Escape(why))
		} else {
			pr.hunks(edits)
		}
	}
	return pr.err
}

// contents compares the two sides, or says why not.
func contents(c Change, before, after side) (edits []edit, why string) {
	switch {
	case c.Kind == KindDir || c.Kind == KindSpecial || c.Op == OpMode:
		return nil, ""
	case before.unread != "":
		return nil, before.unread
	case after.unread != "":
		return nil, after.unread
	case before.size > maxShown || after.size > maxShown:
		return nil, fmt.Sprintf("Too large to show: %d bytes before, %d after", before.size, after.size)
	case binary(before.data) || binary(after.data):
		return nil, fmt.Sprintf("Binary files differ: %d bytes before, %d after", before.size, after.size)
	}
	return compareLines(lines(before), lines(after)), ""
}

func binary(b []byte) bool { return bytes.IndexByte(b[:min(len(b), 8000)], 0) >= 0 }

// lines keep their ends, so that a missing last one counts as a difference.
func lines(s side) []string {
	if !s.exists {
		return nil
	}
	l := strings.SplitAfter(string(s.data), "\n")
	if l[len(l)-1] == "" {
		l = l[:len(l)-1]
	}
	return l
}

// printer writes lines and keeps the first error.
type printer struct {
	w     io.Writer
	color bool
	err   error
}

// The colours of a diff.
const (
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	cyan   = "\x1b[36m"
	reset  = "\x1b[0m"
)

// line writes one line; text must be safe already.
func (p *printer) line(color, text string) {
	if p.err != nil {
		return
	}
	if !p.color || color == "" {
		_, p.err = io.WriteString(p.w, text+"\n")
		return
	}
	_, p.err = io.WriteString(p.w, color+text+reset+"\n")
}

func (p *printer) head(c Change, before, after side) {
	note := string(c.Op) + " " + string(c.Kind)
	if c.Class != "" {
		note += ", " + string(c.Class)
	}
	if c.Reason != "" {
		note += ": " + c.Reason
	}
	p.line(bold, "# "+c.Name()+": "+terminal.Escape(note))
	if c.Merge {
		p.line(bold, "# merged with your edit")
	}
	if c.Conflict != "" {
		p.line(bold+red, "# conflict: "+terminal.Escape(c.Conflict))
	}
	for _, r := range c.Risks {
		p.line(bold+yellow, "# "+string(r.Kind)+": "+terminal.Escape(r.Reason))
	}
	if c.To != "" {
		p.line(bold, "# renamed to "+c.named(c.To))
		return
	}
	a, b := "a/", "b/"
	from, to := quote(a+c.full()), quote(b+c.full())
	if c.From != "" {
		from = quote(a + c.at(c.From))
	}
	p.line(bold, "diff "+from+" "+to)
	switch {
	case !before.exists && after.exists:
		p.line(bold, fmt.Sprintf("new %s mode %s", c.Kind, mode(c.Kind, after.perm)))
		from = "/dev/null"
	case before.exists && !after.exists:
		p.line(bold, fmt.Sprintf("deleted %s mode %s", c.Kind, mode(c.Kind, before.perm)))
		to = "/dev/null"
	case c.From != "":
		p.line(bold, "rename from "+c.named(c.From))
		p.line(bold, "rename to "+c.Name())
	case c.Kind == KindFile && before.perm != after.perm:
		p.line(bold, "old mode "+mode(before.kind, before.perm))
		p.line(bold, "new mode "+mode(after.kind, after.perm))
	}
	if c.Kind == KindFile || c.Kind == KindSymlink {
		p.line(bold, "--- "+from)
		p.line(bold, "+++ "+to)
	}
}

func mode(k FileKind, perm uint32) string {
	switch k {
	case KindSymlink:
		return "120000"
	case KindDir:
		return fmt.Sprintf("040%03o", perm&0o777)
	}
	return fmt.Sprintf("100%03o", perm&0o777)
}

// around is how many unchanged lines are shown on both sides of a change.
const around = 3

// hunks prints the edits with their surroundings.
func (p *printer) hunks(es []edit) {
	for _, r := range hunkRanges(es) {
		p.hunk(es, r[0], r[1])
	}
}

// hunkRanges are the stretches of the edits that are shown together.
func hunkRanges(es []edit) (out [][2]int) {
	for i := 0; i < len(es); {
		for i < len(es) && es[i].Op == ' ' {
			i++
		}
		if i == len(es) {
			break
		}
		from, end := max(0, i-around), i
		for quiet := 0; end < len(es) && quiet <= 2*around; end++ {
			if es[end].Op == ' ' {
				quiet++
			} else {
				quiet = 0
			}
		}
		last := end
		for last > i && es[last-1].Op == ' ' {
			last--
		}
		end = min(len(es), last+around)
		out = append(out, [2]int{from, end})
		i = end
	}
	return out
}

func (p *printer) hunk(es []edit, from, end int) {
	a0, b0 := count(es[:from])
	a, b := count(es[from:end])
	p.line(cyan, fmt.Sprintf("@@ -%s +%s @@", span(a0, a), span(b0, b)))
	for _, e := range es[from:end] {
		text, ended := strings.CutSuffix(e.Line, "\n")
		p.line(map[byte]string{'-': red, '+': green, ' ': ""}[e.Op], string(e.Op)+terminal.EscapeText(text))
		if !ended {
			p.line("", `\ No newline at end of file`)
		}
	}
}

func span(before, n int) string {
	if n == 0 {
		return fmt.Sprintf("%d,0", before)
	}
	return fmt.Sprintf("%d,%d", before+1, n)
}

// count is how many lines of either side the edits hold.
func count(es []edit) (a, b int) {
	for _, e := range es {
		if e.Op != '+' {
			a++
		}
		if e.Op != '-' {
			b++
		}
	}
	return a, b
}

func (p *printer) stat(c Change, es []edit, why string) {
	text := string(c.Op) + " " + string(c.Kind)
	if c.Kind == KindFile && c.Op != OpMode {
		plus, minus := 0, 0
		for _, e := range es {
			switch e.Op {
			case '+':
				plus++
			case '-':
				minus++
			}
		}
		text = fmt.Sprintf("%s +%d -%d", c.Op, plus, minus)
		if why != "" {
			text = fmt.Sprintf("%s, %d bytes", c.Op, c.Size)
		}
	}
	switch {
	case c.From != "":
		text = "renamed from " + c.at(c.From) + strings.TrimPrefix(text, string(OpAdd))
	case c.To != "":
		text = "renamed to " + c.at(c.To)
	}
	if c.Class != "" {
		text += ", " + string(c.Class)
	}
	if c.Merge {
		text += ", merged with your edit"
	}
	for _, r := range c.Risks {
		text += ", " + r.Reason
	}
	if c.Conflict != "" {
		text += ", conflict: " + c.Conflict
	}
	p.line("", " "+c.Name()+" | "+terminal.Escape(text))
}
