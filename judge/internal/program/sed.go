package program

import (
	"strings"

	"github.com/belljar-dev/belljar/judge/internal/shell"
)

// Sed lists what a script of sed does.
func Sed(text string) []Deed {
	if !shell.Static(text) {
		// Text inside a substitution is the usual case: it may hold anything.
		return []Deed{{Unknown, "a script that is not literal"}}
	}
	s := &sed{text: text}
	for !s.end() && !s.bad {
		s.command()
	}
	if s.bad {
		s.deeds = append(s.deeds, Deed{Unknown, "a script that is not understood"})
	}
	return s.deeds
}

type sed struct {
	text  string
	i     int
	bad   bool
	deeds []Deed
}

func (s *sed) end() bool { return s.i >= len(s.text) }

func (s *sed) peek() byte {
	if s.end() {
		return 0
	}
	return s.text[s.i]
}

// next takes one byte; 0 at the end.
func (s *sed) next() byte {
	c := s.peek()
	if !s.end() {
		s.i++
	}
	return c
}

func (s *sed) skip(set string) {
	for !s.end() && strings.IndexByte(set, s.text[s.i]) >= 0 {
		s.i++
	}
}

// line takes the rest of the line.
func (s *sed) line() string {
	rest := s.text[s.i:]
	n := strings.IndexByte(rest, '\n')
	if n < 0 {
		n = len(rest)
	}
	s.i += n
	return strings.TrimLeft(rest[:n], " \t")
}

// delimited skips text up to an unescaped delimiter, which it takes.
func (s *sed) delimited(d byte, class bool) {
	start := s.i
	for !s.end() {
		c := s.text[s.i]
		s.i++
		switch {
		case c == '\\' && !s.end():
			s.i++
		case c == d:
			// Versions differ in whether a delimiter inside a class ends the expression.
			if text := s.text[start : s.i-1]; class && strings.LastIndexByte(text, '[') > strings.LastIndexByte(text, ']') {
				s.bad = true
			}
			return
		}
	}
	s.bad = true
}

// address skips one address, if there is one.
func (s *sed) address() bool {
	switch c := s.peek(); {
	case '0' <= c && c <= '9':
		s.skip("0123456789~")
	case c == '$':
		s.i++
	case c == '/':
		s.i++
		s.delimited('/', true)
		s.skip("IM")
	case c == '\\':
		s.i++
		s.delimited(s.next(), true)
		s.skip("IM")
	default:
		return false
	}
	return true
}

func (s *sed) command() {
	s.skip(" \t\n;")
	if s.end() {
		return
	}
	if s.address() {
		s.skip(" \t")
		if s.peek() == ',' {
			s.i++
			s.skip(" \t+~")
			if !s.address() {
				s.bad = true
			}
		}
	}
	s.skip(" \t!")
	c := s.next()
	switch c {
	case '{', '}', '=', 'd', 'D', 'g', 'G', 'h', 'H', 'n', 'N', 'p', 'P', 'x', 'z', 'F', 0:
		s.after()
	case '#':
		s.line()
	case ':', 'b', 't', 'T':
		s.label()
	case 'q', 'Q', 'l', 'L':
		s.skip(" \t0123456789")
		s.after()
	case 'a', 'i', 'c':
		s.insert()
	case 'r', 'R':
		s.add(Read, s.line())
	case 'w', 'W':
		s.add(Write, s.line())
	case 'e':
		if l := s.line(); l != "" {
			s.add(Run, l)
		}
		s.add(Unknown, "e runs a command")
	case 'v':
		s.line()
	case 's':
		s.substitute()
	case 'y':
		d := s.next()
		s.delimited(d, false)
		s.delimited(d, false)
		s.after()
	default:
		s.bad = true
	}
}

func (s *sed) add(k Kind, text string) { s.deeds = append(s.deeds, Deed{k, text}) }

// after wants the end of a command.
func (s *sed) after() {
	s.skip(" \t")
	if c := s.peek(); c != 0 && c != '\n' && c != ';' && c != '}' && c != '#' && (s.i == 0 || s.text[s.i-1] != '{') && !s.opened() {
		s.bad = true
	}
}

// opened says whether only blanks stand between here and an opening brace.
func (s *sed) opened() bool {
	t := strings.TrimRight(s.text[:s.i], " \t")
	return strings.HasSuffix(t, "{")
}

func (s *sed) label() {
	rest := s.text[s.i:]
	n := strings.IndexAny(rest, "\n;}")
	if n < 0 {
		n = len(rest)
	}
	s.i += n
}

// insert skips the text of a, i and c: lines that end with a backslash go on.
func (s *sed) insert() {
	for {
		l := s.line()
		if !s.end() {
			s.i++
		}
		if !strings.HasSuffix(l, "\\") || s.end() {
			return
		}
	}
}

func (s *sed) substitute() {
	d := s.peek()
	if d == 0 || d == '\n' || d == '\\' {
		s.bad = true
		return
	}
	s.i++
	s.delimited(d, true)
	s.delimited(d, false)
	for !s.end() {
		switch c := s.text[s.i]; {
		case strings.IndexByte("gpIiMm0123456789", c) >= 0:
			s.i++
		case c == 'e':
			s.i++
			s.add(Unknown, "the flag e runs what was replaced")
		case c == 'w':
			s.i++
			s.add(Write, s.line())
			return
		default:
			s.after()
			return
		}
	}
}
