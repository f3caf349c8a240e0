package terminal

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// changes are what the sandbox has changed at the terminal and not changed back.
type changes struct {
	private  map[int]mode // modes that differ from their default, with the default
	ansi     map[int]bool
	colors   map[string]bool // OSC numbers
	style    bool            // SGR
	charset  bool
	keypad   bool
	margins  bool
	cursor   bool // its shape
	title    bool
	link     bool
	progress bool
	keyboard bool // kitty's protocol
	modKeys  bool // xterm's modifyOtherKeys
	queries  int
}

func newChanges() changes {
	return changes{private: make(map[int]mode), ansi: make(map[int]bool), colors: make(map[string]bool)}
}

func (c *changes) mode(prefix string, p int, m mode, set bool) {
	switch {
	case m == untouched:
	case prefix == "":
		if c.ansi[p] = true; !set {
			delete(c.ansi, p)
		}
	case set == (m == on):
		delete(c.private, p)
	default:
		c.private[p] = m
	}
}

func (c *changes) color(num string) { c.colors[num] = true }

// escape notes a sequence of ESC that passes. A full reset changes nothing here:
// terminals differ in what they reset.
func (c *changes) escape(name string) {
	switch {
	case name == "=":
		c.keypad = true
	case name == ">":
		c.keypad = false
	case name[0] == '(', name[0] == ')', name[0] == '*', name[0] == '+', name == "n", name == "o", name == "|", name == "}", name == "~":
		c.charset = c.charset || name != "(B"
	}
}

// csi notes a control sequence that passes.
func (c *changes) csi(name string, s csiSeq) {
	switch name {
	case "m":
		c.style = len(s.params) > 0 && !(len(s.params) == 1 && s.params[0] == 0)
	case "r":
		c.margins = len(s.params) > 0
	case " q":
		c.cursor = true
	case ">u", "=u":
		c.keyboard = true
	case ">m", ">n":
		c.modKeys = true
	}
}

// undo returns the sequences that bring the terminal back. Those that concern the
// alternate screen come first, then it is left, then the main screen's.
func (c *changes) undo() []byte {
	var b strings.Builder
	if _, sync := c.private[2026]; sync {
		b.WriteString("\x1b[?2026l")
	}
	if c.title {
		b.WriteString("\x1b[23;0t")
	}
	if c.link {
		b.WriteString("\x1b]8;;\x1b\\")
	}
	if c.keyboard {
		b.WriteString("\x1b[<99u\x1b[=0u")
	}
	screens := []int{47, 1047, 1049}
	for _, p := range slices.Sorted(maps.Keys(c.private)) {
		if p != 2026 && !slices.Contains(screens, p) {
			b.WriteString("\x1b[?" + strconv.Itoa(p) + string("lh"[c.private[p]]))
		}
	}
	if c.margins {
		b.WriteString("\x1b7\x1b[r\x1b8") // setting margins moves the cursor
	}
	if c.charset {
		b.WriteString("\x1b(B\x1b)B\x0f")
	}
	for _, p := range screens {
		if _, ok := c.private[p]; ok {
			b.WriteString("\x1b[?" + strconv.Itoa(p) + "l")
			if c.keyboard {
				b.WriteString("\x1b[<99u\x1b[=0u")
			}
		}
	}
	for _, p := range slices.Sorted(maps.Keys(c.ansi)) {
		b.WriteString("\x1b[" + strconv.Itoa(p) + "l")
	}
	c.undoLooks(&b)
	return []byte(b.String())
}

// draws says whether a program draws on the screen, rather than printing lines: it has the
// alternate one, or hides the cursor.
func (c *changes) draws() bool {
	_, hidden := c.private[25]
	whole, _ := c.screen()
	return whole || hidden
}

// screen says whether the alternate screen is on, and returns the sequences that set the
// modes of another terminal as they are here, the alternate screen first.
func (c *changes) screen() (whole bool, modes []byte) {
	screens := []int{47, 1047, 1049}
	var b strings.Builder
	for _, p := range screens {
		if _, ok := c.private[p]; ok {
			whole = true
			b.WriteString("\x1b[?" + strconv.Itoa(p) + "h")
		}
	}
	for _, p := range slices.Sorted(maps.Keys(c.private)) {
		if p != 2026 && !slices.Contains(screens, p) { // synchronised output ends by itself
			b.WriteString("\x1b[?" + strconv.Itoa(p) + string("hl"[c.private[p]]))
		}
	}
	for _, p := range slices.Sorted(maps.Keys(c.ansi)) {
		b.WriteString("\x1b[" + strconv.Itoa(p) + "h")
	}
	if c.keypad {
		b.WriteString("\x1b=")
	}
	return whole, []byte(b.String())
}

func (c *changes) undoLooks(b *strings.Builder) {
	if c.modKeys {
		b.WriteString("\x1b[>4m")
	}
	if c.keypad {
		b.WriteString("\x1b>")
	}
	if c.style {
		b.WriteString("\x1b[0m")
	}
	if c.cursor {
		b.WriteString("\x1b[0 q")
	}
	for _, num := range slices.Sorted(maps.Keys(c.colors)) {
		if num == "4" {
			b.WriteString("\x1b]104\x1b\\")
		} else {
			b.WriteString("\x1b]1" + num + "\x1b\\")
		}
	}
	if c.progress {
		b.WriteString("\x1b]9;4;0\x1b\\")
	}
}
