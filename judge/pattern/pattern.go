// Package pattern matches simple commands with patterns such as "npm run *".
//
// A pattern is a list of words. A word * stands for any number of words, none too;
// within a word * stands for any text. Every other word stands for itself. Quotes
// and backslashes work as in a shell, and a quoted * is a star.
//
// # Limitations
//
// A pattern sees words, not what they mean: which options of a program run other
// programs or write files is what package judge knows.
package pattern

import (
	"errors"
	"fmt"
	"strings"
)

// A Pattern is immutable; the zero value matches nothing.
type Pattern struct {
	text  string
	words []word
}

// A word is the literal pieces between its stars; rest stands for any number of words.
type word struct {
	rest   bool
	pieces []string
}

// Bounds of a pattern and of the words that are compared with it.
const (
	maxBytes = 1024
	maxWords = 64
)

// Parse reads a pattern.
func Parse(s string) (Pattern, error) {
	if len(s) > maxBytes {
		return Pattern{}, fmt.Errorf("the pattern is longer than %d bytes", maxBytes)
	}
	words, err := split(s)
	if err != nil {
		return Pattern{}, err
	}
	if len(words) == 0 {
		return Pattern{}, errors.New("the pattern is empty")
	}
	if len(words) > maxWords {
		return Pattern{}, fmt.Errorf("the pattern has more than %d words", maxWords)
	}
	return Pattern{s, words}, nil
}

// Words splits a line without expansions, redirections and operators into words, as
// examples of rules are written. It refuses what only a shell could split.
func Words(line string) ([]string, error) {
	if i := strings.IndexAny(line, "|&;<>()`$\n"); i >= 0 && !strings.ContainsAny(line, `'"\`) {
		return nil, fmt.Errorf("an example is one simple command: %q", line[i:i+1])
	}
	words, err := split(line)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(words))
	for i, w := range words {
		if w.rest {
			out[i] = "*"
			continue
		}
		out[i] = strings.Join(w.pieces, "*")
	}
	if len(out) == 0 {
		return nil, errors.New("the example is empty")
	}
	return out, nil
}

// split cuts s into words, with unquoted stars as borders of pieces.
func split(s string) ([]word, error) {
	var words []word
	var w *word
	quoted := false
	piece := func(c byte) {
		if w == nil {
			w = &word{pieces: []string{""}}
		}
		w.pieces[len(w.pieces)-1] += string(c)
	}
	end := func() {
		if w != nil {
			w.rest = !quoted && len(w.pieces) == 2 && w.pieces[0] == "" && w.pieces[1] == ""
			words = append(words, *w)
		}
		w, quoted = nil, false
	}
	var quote byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c < ' ' && c != '\t' || c == 0x7f:
			return nil, errors.New("a control character")
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'':
			i++
			if i == len(s) {
				return nil, errors.New("a backslash at the end")
			}
			piece(s[i])
		case quote != 0:
			piece(c)
		case c == '\'' || c == '"':
			quote, quoted = c, true
			if w == nil {
				w = &word{pieces: []string{""}}
			}
		case c == ' ' || c == '\t':
			end()
		case c == '*':
			if w == nil {
				w = &word{pieces: []string{""}}
			}
			w.pieces = append(w.pieces, "")
		default:
			piece(c)
		}
	}
	if quote != 0 {
		return nil, errors.New("a quote without its end")
	}
	end()
	return words, nil
}

// String is the pattern as it was written.
func (p Pattern) String() string { return p.text }

// First is the literal first word, and false when it is not literal.
func (p Pattern) First() (string, bool) {
	if len(p.words) == 0 || p.words[0].rest || len(p.words[0].pieces) != 1 {
		return "", false
	}
	return p.words[0].pieces[0], true
}

// Program is the program of which the pattern matches every command, whatever its
// arguments: its first word, where a lone * and nothing else follows it.
func (p Pattern) Program() (name string, whole bool) {
	name, ok := p.First()
	if !ok || name == "" || len(p.words) < 2 {
		return "", false
	}
	for _, w := range p.words[1:] {
		if !w.rest {
			return "", false
		}
	}
	return name, true
}

// Match says whether the words of a simple command match.
func (p Pattern) Match(words []string) bool {
	return len(p.words) > 0 && matchWords(p.words, words, func(w word, s string) bool { return w.match(s) })
}

// MayMatch says whether words may match when those for which unknown is true can
// become any number of words.
func (p Pattern) MayMatch(words []string, unknown func(string) bool) bool {
	for i, w := range words {
		if !unknown(w) {
			continue
		}
		// From the first unknown word on everything may follow.
		for n := range p.words {
			if matchWords(p.words[:n], words[:i], func(w word, s string) bool { return w.match(s) }) {
				return true
			}
		}
	}
	return p.Match(words)
}

// matchWords is the usual match of stars, in time of the product of both lengths.
func matchWords(pattern []word, words []string, same func(word, string) bool) bool {
	i, j, star, mark := 0, 0, -1, 0
	for j < len(words) {
		switch {
		case i < len(pattern) && pattern[i].rest:
			star, mark = i, j
			i++
		case i < len(pattern) && same(pattern[i], words[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(pattern) && pattern[i].rest {
		i++
	}
	return i == len(pattern)
}

func (w word) match(s string) bool {
	if len(w.pieces) == 1 {
		return s == w.pieces[0]
	}
	first, last := w.pieces[0], w.pieces[len(w.pieces)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, p := range w.pieces[1 : len(w.pieces)-1] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return true
}
