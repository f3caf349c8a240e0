package policy

import (
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// What one file may contain. The parser is recursive and quadratic in the keys of
// one mapping, so all of this is judged on the tokens, before it runs.
const (
	maxTokens = 400_000
	maxDepth  = 8
	maxKeys   = 1000
)

// scan turns the source into tokens and refuses what is not part of the format or
// would be expensive to parse: aliases, anchors, tags, merge and complex keys,
// several documents, deep nesting, huge mappings.
func scan(s *source, r *report) (token.Tokens, bool) {
	tokens := lexer.Tokenize(string(s.data))
	n := len(r.faults)
	if len(tokens) > maxTokens {
		r.add(mark{src: s}, "", "", "the file has more than %d words and signs", maxTokens)
		return nil, false
	}
	g := guard{src: s, report: r}
	for _, t := range tokens {
		if what := foreign(t.Type); what != "" {
			suggestion := ""
			if t.Type == token.AliasType {
				suggestion = `a word that begins with * needs quotes: "*.example.com"`
			}
			r.add(markOf(s, t), "", suggestion, "%s not part of a policy file", what)
			continue
		}
		if !g.token(t) {
			break
		}
	}
	return tokens, len(r.faults) == n
}

// A guard follows the nesting of a stream of tokens.
type guard struct {
	src    *source
	report *report
	open   []level
	dashes int // sequence entries that follow each other on one line
	line   int // of the last of them
}

// A level is an open mapping or sequence.
type level struct {
	col  int // of a block mapping's keys; 0 for flow
	keys int
}

// token judges one token; false means that the rest need not be looked at.
func (g *guard) token(t *token.Token) bool {
	switch t.Type {
	case token.SequenceEntryType:
		g.dash(t)
	case token.SequenceStartType, token.MappingStartType:
		g.open = append(g.open, level{})
	case token.SequenceEndType, token.MappingEndType:
		if i := g.flow(); i >= 0 {
			g.open = g.open[:i]
		}
	case token.MappingValueType:
		g.key(t)
	}
	if len(g.open) > maxDepth || g.dashes > maxDepth {
		g.report.add(markOf(g.src, t), "", "", "nested deeper than %d levels", maxDepth)
		return false
	}
	if n := len(g.open); n > 0 && g.open[n-1].keys > maxKeys {
		g.report.add(markOf(g.src, t), "", "", "more than %d keys in one mapping", maxKeys)
		return false
	}
	return true
}

// dash is the beginning of a block sequence's entry: mappings further right are over.
func (g *guard) dash(t *token.Token) {
	if t.Position.Line != g.line {
		g.line, g.dashes = t.Position.Line, 0
	}
	g.dashes++
	g.pop(t.Position.Column)
}

// key counts a key in the mapping to which it belongs.
func (g *guard) key(t *token.Token) {
	n := len(g.open)
	if g.flow() == n-1 && n > 0 {
		g.open[n-1].keys++
		return
	}
	col := t.Position.Column
	if t.Prev != nil {
		col = t.Prev.Position.Column
	}
	g.pop(col)
	if n = len(g.open); n > 0 && g.open[n-1].col == col {
		g.open[n-1].keys++
		return
	}
	g.open = append(g.open, level{col: col, keys: 1})
}

// pop closes the block mappings whose keys stand right of col.
func (g *guard) pop(col int) {
	for n := len(g.open); n > 0 && g.open[n-1].col > col; n = len(g.open) {
		g.open = g.open[:n-1]
	}
}

// flow is the index of the innermost open flow collection, or -1.
func (g *guard) flow() int {
	for i := len(g.open) - 1; i >= 0; i-- {
		if g.open[i].col == 0 {
			return i
		}
	}
	return -1
}

// foreign names what a token of type t is, where the format has no place for it.
func foreign(t token.Type) string {
	switch t {
	case token.AnchorType:
		return "an anchor is"
	case token.AliasType:
		return "an alias is"
	case token.TagType:
		return "a tag is"
	case token.MergeKeyType:
		return "a merge key is"
	case token.MappingKeyType:
		return "a complex key is"
	case token.DirectiveType:
		return "a directive is"
	}
	return ""
}
