// Package shell reads shell lines: it bounds what the parser meets, parses, and
// describes words whose text is not known completely.
//
// # Limitations
//
// The grammar is that of bash. Aliases that exist before the line are not known.
package shell

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// Bounds of a line. They are far beyond what people and agents write, and keep the
// parser, which is recursive, within a few megabytes and milliseconds.
const (
	MaxBytes = 256 << 10 // bytes of a line
	MaxDepth = 100       // brackets that are open at the same time
	maxWords = 2000      // words that open a level of nesting without a bracket
	maxTicks = 64        // backquotes: each level doubles the backslashes
	maxRunes = 4000      // unary operators in a row, which nest in arithmetic
)

// Reasons why a line is not parsed.
var (
	// ErrControl: a byte that shells and parsers read differently.
	ErrControl = errors.New("a NUL or carriage return, which shells read differently")
	// ErrBounds: the line is too long or too deep.
	ErrBounds = errors.New("the line is too long or too deeply nested to be judged")
	// ErrText: the line is not text.
	ErrText = errors.New("the line is not UTF-8, or holds control characters")
)

// Check says whether line may be given to the parser. It takes time in proportion to
// the line and no memory.
func Check(line string) error {
	if strings.ContainsAny(line, "\x00\r") {
		return ErrControl
	}
	if len(line) > MaxBytes {
		return ErrBounds
	}
	if !utf8.ValidString(line) {
		return ErrText
	}
	for i := range len(line) {
		if c := line[i]; c < ' ' && c != '\t' && c != '\n' || c == 0x7f {
			return ErrText
		}
	}
	if deep(line) {
		return ErrBounds
	}
	return nil
}

// deep counts brackets without regard to quotes, so it errs to the safe side for
// lines that hold very many of them in text.
func deep(line string) bool {
	depth, most, words, ticks, row := 0, 0, 0, 0, 0
	start := 0
	for i := range len(line) {
		c := line[i]
		switch c {
		case '(', '{', '[':
			depth++
			most = max(most, depth)
		case ')', '}', ']':
			depth = max(0, depth-1)
			if c == ')' && i > 0 && line[i-1] == '(' {
				words++ // a function, whose body may be a function
			}
		case '`':
			ticks++
		}
		switch c {
		case '-', '+', '!', '~', ' ':
			row++
		default:
			row = 0
		}
		if row > maxRunes {
			return true
		}
		if c == ' ' || c == '\n' || c == '\t' || c == ';' || c == '&' || c == '|' || c == '(' {
			words += opens(line[start:i])
			start = i + 1
		}
	}
	return most > MaxDepth || words > maxWords || ticks > maxTicks
}

func opens(word string) int {
	switch word {
	case "if", "while", "until", "for", "case", "select", "function", "time", "coproc", "!", "do", "then", "else", "elif":
		return 1
	}
	return 0
}
