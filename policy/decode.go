package policy

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/belljar-dev/belljar"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// A decoder turns one source into a document. It goes on after a fault, so that
// all of them are reported at once.
type decoder struct {
	*report
	src   *source
	paths *paths
	doc   *document
}

// decode reads a policy file. What it could not read is missing from the document
// and reported.
func decode(src *source, p *paths, r *report) *document {
	d := &decoder{report: r, src: src, paths: p, doc: &document{src: src, limits: map[string]item[int64]{}}}
	if !src.check(r) {
		return d.doc
	}
	if root := d.parse(); root != nil {
		d.root(root)
	}
	return d.doc
}

// parse returns the top mapping, or nil after a fault.
func (d *decoder) parse() (root ast.Node) {
	start := mark{src: d.src, line: 1, col: 1, width: 1}
	defer func() {
		// The parser is a library that meets hostile bytes here: its panic is one
		// more way to say that the file is not YAML.
		if e := recover(); e != nil {
			d.add(start, "", "", "not YAML")
			root = nil
		}
	}()
	tokens, ok := scan(d.src, d.report)
	if !ok {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(start, err)
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if body != nil {
			d.add(d.at(doc.Body), "", "", "a second document in one file")
			return nil
		}
		body = doc.Body
	}
	if body == nil {
		d.add(start, "version", "write version: 1", "the file is empty")
		return nil
	}
	return body
}

func (d *decoder) syntax(start mark, err error) {
	var se yaml.Error
	if !errors.As(err, &se) {
		d.add(start, "", "", "not YAML: %s", strings.SplitN(err.Error(), "\n", 2)[0])
		return
	}
	at := start
	if t := se.GetToken(); t != nil {
		at = markOf(d.src, t)
	}
	d.add(at, "", "", "not YAML: %s", se.GetMessage())
}

// markOf is the place of a token.
func markOf(src *source, t *token.Token) mark {
	if t == nil || t.Position == nil {
		return mark{src: src, line: 1, col: 1, width: 1}
	}
	value, _, _ := strings.Cut(t.Value, "\n")
	return mark{src: src, line: t.Position.Line, col: t.Position.Column, width: max(1, utf8.RuneCountInString(value))}
}

func (d *decoder) at(n ast.Node) mark {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && m.Start != nil && m.Start.Value != "{" {
		return markOf(d.src, m.Values[0].Key.GetToken())
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		return markOf(d.src, m.Key.GetToken())
	}
	return markOf(d.src, n.GetToken())
}

// A pair is a key of a mapping with its value.
type pair struct {
	name  string
	key   mark
	value ast.Node
}

// pairs lists a mapping. A wrong type, a key that is no string and a duplicate are faults.
func (d *decoder) pairs(n ast.Node, path string) []pair {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		d.wrong(n, path, "a mapping with keys")
		return nil
	}
	seen := make(map[string]mark, len(values))
	pairs := make([]pair, 0, len(values))
	for _, v := range values {
		key, ok := v.Key.(*ast.StringNode)
		if !ok {
			d.add(markOf(d.src, v.Key.GetToken()), path, "", "a key must be a word")
			continue
		}
		at := markOf(d.src, key.GetToken())
		if first, dup := seen[key.Value]; dup {
			d.add(at, join(path, key.Value), "", "duplicate key, first written in line %d", first.line)
			continue
		}
		seen[key.Value] = at
		pairs = append(pairs, pair{key.Value, at, v.Value})
	}
	return pairs
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// fields decodes the known keys of a mapping and refuses every other one.
func (d *decoder) fields(n ast.Node, path string, known map[string]func(pair)) {
	for _, p := range d.pairs(n, path) {
		f, ok := known[p.name]
		if !ok {
			d.unknown(p, path, known)
			continue
		}
		f(p)
	}
}

// unknown reports a key that is not in the format, or not yet, or not in this layer.
func (d *decoder) unknown(p pair, path string, known map[string]func(pair)) {
	name := join(path, p.name)
	if laterKeys()[name] {
		d.add(p.key, name, "remove it: it is refused so that nobody takes it for being in force", "not yet available")
		return
	}
	if presetKeys()[name] {
		d.add(p.key, name, "", "only belljar's own presets can say this")
		return
	}
	var names []string
	for k := range known {
		names = append(names, k)
	}
	suggestion := ""
	if s := nearestOf(p.name, names); s != "" {
		suggestion = fmt.Sprintf("did you mean %q?", s)
	} else if s := elsewhere(p.name); s != "" {
		suggestion = fmt.Sprintf("did you mean %q?", s)
	}
	d.add(p.key, name, suggestion, "unknown key")
}

// wrong reports a value of the wrong type.
func (d *decoder) wrong(n ast.Node, path, want string) {
	if n == nil {
		d.add(mark{src: d.src}, path, "", "expected %s", want)
		return
	}
	got := map[ast.NodeType]string{
		ast.NullType: "nothing", ast.BoolType: "true or false", ast.IntegerType: "a number", ast.FloatType: "a number",
		ast.InfinityType: "infinity", ast.NanType: "not-a-number", ast.StringType: "a word", ast.LiteralType: "a text",
		ast.SequenceType: "a list", ast.MappingType: "a mapping", ast.MappingValueType: "a mapping",
	}[n.Type()]
	if got == "" {
		got = "something else"
	}
	suggestion := ""
	switch n.Type() {
	case ast.BoolType, ast.IntegerType, ast.FloatType, ast.InfinityType, ast.NanType:
		if want == "a word" {
			suggestion = fmt.Sprintf("write %q, with quotes", n.GetToken().Value)
		}
	case ast.StringType:
		if strings.HasPrefix(want, "a list") {
			suggestion = fmt.Sprintf("write [%s]", n.GetToken().Value)
		}
	}
	d.add(d.at(n), path, suggestion, "expected %s, found %s", want, got)
}

// text is a scalar that is a string.
func (d *decoder) text(n ast.Node, path string) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return d.clean(n, path, n.Value)
	case *ast.LiteralNode:
		return d.clean(n, path, n.Value.Value)
	}
	d.wrong(n, path, "a word")
	return "", false
}

// clean refuses control characters that an escape sequence brought in.
func (d *decoder) clean(n ast.Node, path, s string) (string, bool) {
	for _, r := range s {
		if r == utf8.RuneError || (r < 0x20 && r != '\n' && r != '\t') || (r >= 0x7f && r < 0xa0) {
			d.add(d.at(n), path, "", "contains a control character")
			return "", false
		}
	}
	return s, true
}

// number is a scalar that was written as digits, or as a quoted word: what it means
// is the reader's business.
func (d *decoder) number(n ast.Node, path, want string) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return d.clean(n, path, n.Value)
	case *ast.IntegerNode, *ast.FloatNode:
		return n.GetToken().Value, true
	}
	d.wrong(n, path, want)
	return "", false
}

// maxEntries bounds a list by what its entries cost later: a mount, a pattern that
// every name is matched with, a rule in an index.
func maxEntries(path string) int {
	switch path {
	case "network.allow":
		return 20_000
	case "files.hide", "files.hold", keyLanding, "commands.allow", "commands.ask", "commands.deny":
		return 2000
	}
	return 256
}

// decodeList decodes a list, each entry by f, which reports its own faults.
func decodeList[T any](d *decoder, p pair, path, of string, f func(ast.Node, string) (T, bool)) list[T] {
	seq, ok := p.value.(*ast.SequenceNode)
	if !ok {
		d.wrong(p.value, path, "a list of "+of)
		return list[T]{}
	}
	l := list[T]{set: true, mark: p.key}
	if most := maxEntries(path); len(seq.Values) > most {
		d.add(p.key, path, "", "more than %d entries", most)
		return list[T]{}
	}
	l.items = make([]item[T], 0, len(seq.Values))
	for _, n := range seq.Values {
		before := len(d.faults) + d.more
		if n == nil {
			d.add(p.key, path, "", "an entry is empty")
			continue
		}
		if v, ok := f(n, path); ok && len(d.faults)+d.more == before {
			l.items = append(l.items, item[T]{v, d.at(n)})
		}
	}
	if len(seq.Values) > 0 && len(l.items) == 0 {
		l.set = false // every entry was a fault: not the same as an empty list
	}
	return l
}

// host decodes the host of a rule.
func (d *decoder) host(n ast.Node, path string) (string, bool) {
	s, ok := d.text(n, path)
	if !ok {
		return "", false
	}
	h, err := rulePattern(s)
	if err != nil {
		d.add(d.at(n), path, "", "%s", err)
		return "", false
	}
	return h, true
}

// rule decodes an entry of network.allow.
func (d *decoder) rule(n ast.Node, path string) (belljar.NetRule, bool) {
	s, ok := hostPort(n)
	if !ok {
		switch n.(type) {
		case *ast.MappingNode, *ast.MappingValueNode:
			return d.ruleMapping(n, path)
		case *ast.StringNode:
			if s, ok = d.text(n, path); !ok {
				return belljar.NetRule{}, false
			}
		default:
			d.wrong(n, path, "host, host:port or a mapping with host or cidr")
			return belljar.NetRule{}, false
		}
	}
	r, suggestion, err := parseRule(s)
	if err != nil {
		d.add(d.at(n), path, suggestion, "%s", err)
	}
	return r, err == nil
}

// hostPort puts host:port together again, which the parser takes for a mapping where
// it stands within braces: YAML needs a space behind the colon for that.
func hostPort(n ast.Node) (string, bool) {
	m, ok := n.(*ast.MappingNode)
	if !ok || len(m.Values) != 1 {
		return "", false
	}
	v := m.Values[0]
	host, ok := v.Key.(*ast.StringNode)
	port, number := v.Value.(*ast.IntegerNode)
	if !ok || !number || v.Start == nil || m.Start != nil && m.Start.Type == token.MappingStartType {
		return "", false
	}
	colon, digits := v.Start.Position, port.GetToken().Position
	if colon.Line != digits.Line || colon.Column+1 != digits.Column {
		return "", false
	}
	return host.Value + ":" + port.GetToken().Value, true
}
