package llm

// events takes a stream of server-sent events apart and gives the data of each to a
// scanner. It holds nothing of them.
type events struct {
	scan *scanner

	name  [6]byte // of the field: "data:" and one more
	n     int     // bytes of the line so far, at most len(name)
	data  bool    // the line is a line of data
	blank bool    // its first character, where that is a blank, is left out
	lines int     // of data in this event
	cr    bool    // the last character was CR
}

func (e *events) write(b []byte) {
	for len(b) > 0 {
		c := b[0]
		if c == '\n' && e.cr {
			e.cr, b = false, b[1:]
			continue
		}
		e.cr = c == '\r'
		if c == '\n' || c == '\r' {
			e.line()
			b = b[1:]
			continue
		}
		if !e.data {
			e.head(c)
			b = b[1:]
			continue
		}
		end := 0
		for end < len(b) && b[end] != '\n' && b[end] != '\r' {
			end++
		}
		text := b[:end]
		if e.blank {
			e.blank = false
			if text[0] == ' ' {
				text = text[1:]
			}
		}
		e.scan.write(text)
		b = b[end:]
	}
}

// head takes a character of a line that may become one of data.
func (e *events) head(c byte) {
	if e.n == len(e.name) {
		return
	}
	e.name[e.n] = c
	if e.n++; string(e.name[:e.n]) == "data:" {
		e.data, e.blank = true, true
		if e.lines > 0 {
			e.scan.write([]byte{'\n'})
		}
		e.lines++
	}
}

// line ends a line; an empty one ends an event.
func (e *events) line() {
	if e.n == 0 {
		e.scan.end()
		e.lines = 0
	}
	e.n, e.data, e.blank = 0, false, false
}
