package program

import (
	"slices"
	"strings"

	"github.com/belljar-dev/belljar/judge/internal/shell"
)

// A token of awk: a string literal, a name, a number, a regular expression or one operator.
type token struct {
	kind byte // 's' string, 'n' name, '0' number, 'r' regular expression, 'o' operator, '\n'
	text string
}

// Awk lists what a program of awk does.
func Awk(text string) []Deed {
	if !shell.Static(text) {
		return []Deed{{Unknown, "a program that is not literal"}}
	}
	// A slash behind a parenthesis or a word divides or begins an expression, which only
	// the whole grammar tells: both are looked at.
	var deeds []Deed
	understood := false
	for _, divides := range []bool{true, false} {
		tokens := awkTokens(text, divides)
		if tokens == nil && strings.TrimSpace(text) != "" {
			continue
		}
		understood = true
		a := &awk{tokens: tokens}
		for a.i = 0; a.i < len(a.tokens); a.i++ {
			a.step()
		}
		for _, d := range a.deeds {
			if !slices.Contains(deeds, d) {
				deeds = append(deeds, d)
			}
		}
		if !strings.ContainsAny(text, "/") {
			break
		}
	}
	if !understood {
		return []Deed{{Unknown, "a program that is not understood"}}
	}
	return deeds
}

type awk struct {
	tokens []token
	i      int
	deeds  []Deed
	print  bool // inside a print statement, where > writes
	depth  int  // of parentheses since print
}

func (a *awk) at(i int) token {
	if i < 0 || i >= len(a.tokens) {
		return token{}
	}
	return a.tokens[i]
}

func (a *awk) add(k Kind, text string) { a.deeds = append(a.deeds, Deed{k, text}) }

func (a *awk) step() {
	t := a.at(a.i)
	switch t.kind {
	case 'n':
		a.name(t.text)
	case '\n':
		a.print = false
	case 'o':
		a.operator(t.text)
	}
}

func (a *awk) name(n string) {
	switch n {
	case "print", "printf":
		a.print, a.depth = true, 0
	case "system":
		a.target(Run, a.i+1, "system")
	case "getline":
		if a.at(a.i+1).text == "<" && a.at(a.i+1).kind == 'o' {
			a.target(Read, a.i+1, "getline")
		} else if a.at(a.i+1).kind == 'n' && a.at(a.i+2).text == "<" && a.at(a.i+2).kind == 'o' {
			a.target(Read, a.i+2, "getline")
		}
	case "ARGV", "ARGC", "ENVIRON":
		if n == "ARGV" {
			a.add(Unknown, "changes its own arguments")
		}
	}
}

func (a *awk) operator(o string) {
	switch o {
	case ";", "{", "}":
		a.print = false
	case "(":
		a.depth++
	case ")":
		a.depth--
	case "|", "|&":
		if a.at(a.i+1).text == "getline" {
			a.before()
			return
		}
		a.target(Run, a.i, "a pipe")
	case ">", ">>":
		if a.print && a.depth <= 0 {
			a.target(Write, a.i, "a file")
		}
	case "@":
		a.add(Unknown, "@ loads or calls what is computed")
	}
}

// target is the literal that follows token i, an operator or an opening parenthesis.
func (a *awk) target(k Kind, i int, what string) {
	s := a.at(i + 1)
	closed := a.at(i + 2)
	end := closed.kind == 0 || closed.kind == '\n' || closed.kind == 'o' && strings.Contains(";})", closed.text)
	if s.kind != 's' || !end {
		a.add(Unknown, what+" whose text is computed")
		if s.kind == 's' {
			a.add(k, s.text)
		}
		return
	}
	if strings.HasPrefix(s.text, "/inet") {
		a.add(Run, "nc "+s.text)
		return
	}
	a.add(k, s.text)
}

// before is the literal before a pipe into getline.
func (a *awk) before() {
	s, prev := a.at(a.i-1), a.at(a.i-2)
	if s.kind != 's' || prev.kind == 's' || prev.kind == 'n' && prev.text != "while" && prev.text != "if" || prev.text == ")" {
		a.add(Unknown, "a pipe whose text is computed")
	}
	if s.kind == 's' {
		a.add(Run, s.text)
	}
}

// awkTokens cuts a program into tokens, or returns nil.
func awkTokens(text string, divides bool) []token {
	var out []token
	for i := 0; i < len(text); {
		c := text[i]
		var end int
		switch {
		case c == ' ' || c == '\t':
			i++
			continue
		case c == '\\' && i+1 < len(text) && text[i+1] == '\n':
			i += 2
			continue
		case c == '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
			continue
		case c == '\n':
			out, end = append(out, token{'\n', "\n"}), i+1
		case c == '"':
			s, n := awkString(text[i+1:])
			if n < 0 {
				return nil
			}
			if strings.Contains(s, "/inet") {
				out = append(out, token{'o', "|"}, token{'s', "nc " + s}, token{'o', ";"})
			}
			out, end = append(out, token{'s', s}), i+1+n
		case c == '/' && regexMayFollow(out, divides):
			n := awkRegex(text[i+1:])
			if n < 0 {
				return nil
			}
			out, end = append(out, token{'r', "/"}), i+1+n
		case isName(c):
			end = i
			for end < len(text) && (isName(text[end]) || '0' <= text[end] && text[end] <= '9') {
				end++
			}
			out = append(out, token{'n', text[i:end]})
		case '0' <= c && c <= '9':
			end = i
			for end < len(text) && (isName(text[end]) || '0' <= text[end] && text[end] <= '9' || text[end] == '.') {
				end++
			}
			out = append(out, token{'0', text[i:end]})
		default:
			n := 1
			for _, op := range []string{"||", "&&", ">>", "|&", ">=", "<=", "==", "!="} {
				if strings.HasPrefix(text[i:], op) {
					n = 2
				}
			}
			out, end = append(out, token{'o', text[i : i+n]}), i+n
		}
		i = end
	}
	return out
}

func isName(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}

// awkString decodes a string literal and returns its length with the closing quote.
func awkString(s string) (string, int) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '\n':
			return "", -1
		case '"':
			return shell.ANSI(s[:i]), i + 1
		}
	}
	return "", -1
}

func awkRegex(s string) int {
	class := false
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '[':
			class = true
		case ']':
			class = false
		case '\n':
			return -1
		case '/':
			if !class {
				return i + 1
			}
		}
	}
	return -1
}

// regexMayFollow says whether a slash begins a regular expression here.
func regexMayFollow(out []token, divides bool) bool {
	if len(out) == 0 {
		return true
	}
	switch t := out[len(out)-1]; t.kind {
	case 's', '0', 'r':
		return false
	case 'n':
		switch t.text {
		case "print", "printf", "return", "case", "in", "else", "do", "exit", "delete":
			return true
		}
		return t.text == "getline" && !divides
	case 'o':
		return t.text != "]" && t.text != "$" && (t.text != ")" || !divides)
	}
	return true
}
