package judge

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"github.com/belljar-dev/belljar/judge/internal/shell"
)

// maxBraces is how many words a brace expansion may make.
const maxBraces = 64

// A builder makes the fields of one word.
type builder struct {
	w      *walk
	fields []string
	cur    strings.Builder
	has    bool // the current field exists, although it may be empty
	split  bool // unquoted expansions are split, globs mean something
	glob   bool // the current field holds an unquoted glob of the line
}

// fields expands a word as an argument, and judges what runs inside it.
func (w *walk) fields(word *syntax.Word) []string {
	if lit := plain(word); lit != "" {
		return []string{lit}
	}
	if x := split(word); x != nil {
		return w.braces(x)
	}
	return w.expand(word)
}

// split finds brace expansions, in a copy: the tree is walked again. It returns nil
// when there are none.
func split(word *syntax.Word) *syntax.Word {
	open := false
	for _, p := range word.Parts {
		if l, ok := p.(*syntax.Lit); ok {
			open = open || strings.Contains(l.Value, "{")
		}
	}
	if !open {
		return nil
	}
	c := &syntax.Word{Parts: slices.Clone(word.Parts)}
	if !syntax.SplitBraces(c) {
		return nil
	}
	return c
}

// count is how many words a brace expansion makes, and whether there is a sequence.
func count(word *syntax.Word) (n int, sequence bool) {
	n = 1
	for _, p := range word.Parts {
		e, ok := p.(*syntax.BraceExp)
		if !ok {
			continue
		}
		sequence = sequence || e.Sequence
		sum := 0
		for _, x := range e.Elems {
			k, s := count(x)
			sum, sequence = min(sum+k, maxBraces+1), sequence || s
		}
		n = min(n*max(1, sum), maxBraces+1)
	}
	return n, sequence
}

// plain is the text of a word that is nothing but plain characters, the usual case.
func plain(word *syntax.Word) string {
	if len(word.Parts) != 1 {
		return ""
	}
	l, ok := word.Parts[0].(*syntax.Lit)
	if !ok || strings.ContainsAny(l.Value, "\\*?[~{") {
		return ""
	}
	return l.Value
}

func (w *walk) expand(word *syntax.Word) []string {
	if !w.spend(1) {
		return []string{string(shell.Any)}
	}
	b := &builder{w: w, split: true}
	b.parts(word.Parts, false)
	b.end()
	return b.fields
}

// braces expands {a,b}; sequences and very many words are not told apart.
func (w *walk) braces(word *syntax.Word) []string {
	n, sequence := count(word)
	if n > maxBraces || sequence {
		for _, p := range word.Parts {
			if e, ok := p.(*syntax.BraceExp); ok {
				for _, x := range e.Elems {
					w.expand(x)
				}
			}
		}
		if n <= maxBraces {
			return w.expand(sequences(word))
		}
		return []string{string(shell.Any)}
	}
	var fields []string
	made := 0
	for x := range bracesOf(word) {
		if made++; made > maxBraces {
			return []string{string(shell.Any)}
		}
		fields = append(fields, w.expand(x)...)
	}
	return fields
}

// sequences replaces every brace expansion by text that is not known but plain, when
// all of them are sequences; otherwise the text may be anything.
func sequences(word *syntax.Word) *syntax.Word {
	out := &syntax.Word{}
	for _, p := range word.Parts {
		if e, ok := p.(*syntax.BraceExp); ok {
			mark := string(shell.Any)
			if e.Sequence {
				mark = string(shell.Name)
			}
			p = &syntax.SglQuoted{Value: mark}
		}
		out.Parts = append(out.Parts, p)
	}
	return out
}

func bracesOf(word *syntax.Word) func(func(*syntax.Word) bool) {
	return func(yield func(*syntax.Word) bool) {
		for x, err := range expand.BracesSeq(&expand.Config{}, word) {
			if err != nil || !yield(x) {
				return
			}
		}
	}
}

// value expands a word as the value of an assignment: one text.
func (w *walk) value(word *syntax.Word) string {
	if word == nil {
		return ""
	}
	if lit := plain(word); lit != "" {
		return lit
	}
	if !w.spend(1) {
		return string(shell.Any)
	}
	b := &builder{w: w}
	b.parts(word.Parts, false)
	b.end()
	return strings.Join(b.fields, " ")
}

// end finishes the current field.
func (b *builder) end() {
	if b.has || b.cur.Len() > 0 {
		b.fields = append(b.fields, b.cur.String())
	}
	b.cur.Reset()
	b.has, b.glob = false, false
}

func (b *builder) parts(parts []syntax.WordPart, quoted bool) {
	for i, p := range parts {
		switch p := p.(type) {
		case *syntax.Lit:
			b.literal(p.Value, quoted, i == 0 && len(b.fields) == 0 && b.cur.Len() == 0, i == len(parts)-1)
		case *syntax.SglQuoted:
			b.has = true
			if p.Dollar {
				b.cur.WriteString(shell.ANSI(p.Value))
			} else {
				b.cur.WriteString(p.Value)
			}
		case *syntax.DblQuoted:
			b.has = true
			b.parts(p.Parts, true)
		case *syntax.ParamExp:
			b.param(p, quoted)
		case *syntax.CmdSubst:
			b.insert([]string{b.w.substitute(p)}, quoted, false)
		case *syntax.ArithmExp:
			b.w.arithm(p.X)
			b.cur.WriteByte(shell.Name)
		case *syntax.ProcSubst:
			b.cur.WriteString(b.w.process(p))
		case *syntax.ExtGlob:
			b.w.ask(guardDynamic, "an extended pattern")
			b.cur.WriteByte(shell.Any)
		case *syntax.BraceExp:
			for _, x := range p.Elems {
				b.w.expand(x)
			}
			b.cur.WriteByte(shell.Any)
		default:
			b.w.ask(guardShape, "a kind of word that is not known")
			b.cur.WriteByte(shell.Any)
		}
	}
}

// insert adds the text of an expansion; unquoted, blanks split it.
func (b *builder) insert(fields []string, quoted, many bool) {
	for i, f := range fields {
		if i > 0 {
			b.end()
			b.has = true
		}
		if quoted || !b.split {
			b.has = b.has || quoted
			b.cur.WriteString(f)
			continue
		}
		if b.w.state.ifs && f != "" {
			b.cur.WriteByte(shell.Any)
			continue
		}
		b.pieces(f)
	}
	if many && len(fields) == 0 && quoted && b.cur.Len() == 0 {
		b.has = false
	}
}

// pieces adds an unquoted text: blanks end fields, stars are globs.
func (b *builder) pieces(f string) {
	for i := range len(f) {
		switch c := f[i]; c {
		case ' ', '\t', '\n':
			b.end()
		case '*':
			b.cur.WriteByte(shell.Star)
		case '?', '[':
			b.cur.WriteByte(shell.Any)
		default:
			b.cur.WriteByte(c)
		}
	}
}

// literal adds text of the line itself.
func (b *builder) literal(s string, quoted, first, last bool) {
	if quoted {
		b.quotedLiteral(s)
		return
	}
	if first && strings.HasPrefix(s, "~") {
		s = b.tilde(s, last)
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s):
			i++
			if s[i] != '\n' {
				b.cur.WriteByte(s[i])
				b.has = true
			}
		case !b.split:
			if (c == ':' || c == '=') && i+1 < len(s) && s[i+1] == '~' {
				b.cur.WriteByte(c)
				s = s[:i+1] + b.w.home(s[i+1:])
				continue
			}
			b.cur.WriteByte(c)
		case c == '*':
			b.cur.WriteByte(shell.Star)
		case c == '?':
			b.cur.WriteByte(shell.One)
		case c == '[' && strings.Contains(s[i:], "]"):
			b.cur.WriteByte(shell.One)
			i += strings.IndexByte(s[i:], ']')
		case c == '[' && s != "[" && s != "[[":
			// The class may end in another part of the word.
			if strings.HasPrefix(s, "[") && last {
				b.cur.WriteByte(c)
				continue
			}
			b.cur.WriteByte(shell.Star)
		case c == '=' && i+1 < len(s) && s[i+1] == '~' && isIdentifier(s[:i]):
			b.cur.WriteByte(c)
			s = s[:i+1] + b.w.home(s[i+1:])
		default:
			b.cur.WriteByte(c)
		}
	}
}

func (b *builder) quotedLiteral(s string) {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte("$`\"\\\n", s[i+1]) >= 0 {
			i++
			if s[i] == '\n' {
				continue
			}
		}
		b.cur.WriteByte(s[i])
	}
}

// tilde replaces a leading tilde, when the whole prefix is in this part of the word.
func (b *builder) tilde(s string, last bool) string {
	if !strings.Contains(s, "/") && !last {
		b.cur.WriteByte(shell.Any) // ~$x and ~"x" stay a tilde; nobody needs them
		return s[1:]
	}
	return b.w.home(s)
}

// home expands the tilde at the beginning of s.
func (w *walk) home(s string) string {
	user, rest, slash := strings.Cut(s[1:], "/")
	if slash {
		rest = "/" + rest
	}
	switch user {
	case "":
		return w.variable("HOME") + rest
	case "+":
		return w.state.dir + rest
	case "-":
		return w.state.old + rest
	case "root":
		return "/root" + rest
	}
	if isIdentifier(user) {
		return "/home/" + user + rest
	}
	return string(shell.Any) + rest
}

func isIdentifier(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
