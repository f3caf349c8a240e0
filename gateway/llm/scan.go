package llm

// A scanner reads JSON as it passes by, and tells of whole numbers with the keys that
// lead to them. It keeps the keys of the outer levels only, so that what it holds does
// not grow with what it reads.
type scanner struct {
	// number is told of a whole number that is not negative, with the keys of the objects
	// it lies in, joined by dots; arrays add nothing.
	number func(path string, n int64)
	kind   string // the text under the key "type" of the outermost object
	// ended is told of the kind of every text that is over; it may be nil.
	ended func(kind string)

	state  byte
	stack  []byte   // '{' or '[' of each level, at most maxDepth
	objs   int      // objects of them
	path   []string // of the outer objects: the key that is read
	inKey  bool
	key    []byte
	hex    int // digits that an escape still has
	digits int64
	whole  bool // the number is one
	broken bool // it is no JSON, or too deep: the rest is not read
}

const (
	scanValue  = iota // a value is next
	scanFirst         // a value, or the end of an array
	scanKey           // a key is next
	scanKeyEnd        // a key, or the end of an object
	scanColon
	scanAfter // behind a value
	scanText
	scanEscape
	scanHex
	scanNumber
	scanWord
)

const (
	keptLevels = 4  // of keys
	keptKey    = 40 // bytes of one
	mostTokens = 1_000_000_000_000
)

// reset begins a new text.
func (s *scanner) reset() {
	s.state, s.stack, s.objs, s.path, s.inKey, s.broken = scanValue, s.stack[:0], 0, s.path[:0], false, false
	s.kind = ""
}

// doneKind is the kind of "[DONE]", which ends streams of OpenAI's and is no JSON.
const doneKind = "[DONE]"

// end says that the text is over.
func (s *scanner) end() {
	if s.state == scanNumber && !s.broken {
		s.told()
	}
	if s.ended != nil {
		s.ended(s.kind)
	}
	s.reset()
}

func (s *scanner) write(b []byte) {
	for _, c := range b {
		if s.broken {
			return
		}
		s.step(c)
	}
}

func (s *scanner) step(c byte) {
	switch s.state {
	case scanText:
		s.text(c)
	case scanEscape:
		s.state = scanText
		if c == 'u' {
			s.state, s.hex = scanHex, 4
		}
	case scanHex:
		if s.hex--; s.hex == 0 {
			s.state = scanText
		}
	case scanNumber:
		if s.more(c) {
			return
		}
		s.told()
		s.state = scanAfter
		s.step(c)
	case scanWord:
		if c >= 'a' && c <= 'z' {
			return
		}
		s.state = scanAfter
		s.step(c)
	default:
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			s.between(c)
		}
	}
}

func (s *scanner) text(c byte) {
	switch {
	case c == '\\':
		s.state = scanEscape
		s.key = append(s.key[:0], 0) // a text with an escape is none that is looked for
	case c != '"':
		if len(s.key) < keptKey {
			s.key = append(s.key, c)
		}
	case s.inKey:
		s.inKey, s.state = false, scanColon
		if len(s.path) > 0 && s.objs <= keptLevels {
			s.path[len(s.path)-1] = string(s.key)
		}
	default:
		s.state = scanAfter
		if len(s.stack) == 1 && len(s.path) == 1 && s.path[0] == "type" {
			s.kind = string(s.key)
		}
	}
}

// between takes a character that is no part of a text, number or word.
func (s *scanner) between(c byte) {
	switch {
	case c == '"' && (s.state == scanKey || s.state == scanKeyEnd):
		s.inKey, s.key, s.state = true, s.key[:0], scanText
	case c == ':' && s.state == scanColon:
		s.state = scanValue
	case c == '}' && len(s.stack) > 0 && s.stack[len(s.stack)-1] == '{' && (s.state == scanAfter || s.state == scanKeyEnd):
		if s.objs <= keptLevels {
			s.path = s.path[:len(s.path)-1]
		}
		s.stack, s.objs, s.state = s.stack[:len(s.stack)-1], s.objs-1, scanAfter
	case c == ']' && len(s.stack) > 0 && s.stack[len(s.stack)-1] == '[' && (s.state == scanAfter || s.state == scanFirst):
		s.stack, s.state = s.stack[:len(s.stack)-1], scanAfter
	case c == ',' && s.state == scanAfter && len(s.stack) > 0:
		s.state = scanValue
		if s.stack[len(s.stack)-1] == '{' {
			s.state = scanKey
		}
	case s.state == scanValue || s.state == scanFirst:
		s.begin(c)
	default:
		s.broken = true
	}
}

// begin takes the first character of a value.
func (s *scanner) begin(c byte) {
	switch {
	case (c == '{' || c == '[') && len(s.stack) >= maxDepth:
		s.broken = true
	case c == '{':
		s.stack, s.objs, s.state = append(s.stack, c), s.objs+1, scanKeyEnd
		if s.objs <= keptLevels {
			s.path = append(s.path, "")
		}
	case c == '[':
		s.stack, s.state = append(s.stack, c), scanFirst
	case c == '"':
		s.key, s.state = s.key[:0], scanText
	case c >= '0' && c <= '9':
		s.digits, s.whole, s.state = int64(c-'0'), true, scanNumber
	case c == '-':
		s.whole, s.state = false, scanNumber
	case c >= 'a' && c <= 'z':
		s.state = scanWord
	default:
		s.broken = true
		if c == 'D' && s.state == scanFirst && len(s.stack) == 1 {
			s.kind = doneKind
		}
	}
}

// more takes a character of a number, if it is one.
func (s *scanner) more(c byte) bool {
	switch {
	case c >= '0' && c <= '9':
		if s.digits = s.digits*10 + int64(c-'0'); s.digits > mostTokens {
			s.digits, s.whole = 0, false
		}
	case c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-':
		s.whole = false
	default:
		return false
	}
	return true
}

func (s *scanner) told() {
	if !s.whole || len(s.path) == 0 || s.objs > keptLevels {
		return
	}
	path := s.path[0]
	for _, p := range s.path[1:] {
		path += "." + p
	}
	s.number(path, s.digits)
}
