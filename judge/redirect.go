package judge

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/belljar-dev/belljar/judge/internal/shell"
)

// redirect judges a redirection. It returns the absolute path of the file that is
// written, if any.
func (w *walk) redirect(r *syntax.Redirect) string {
	part := w.part
	w.part = w.text(r)
	defer func() { w.part = part }()
	if r.N != nil && strings.HasPrefix(r.N.Value, "{") {
		w.assign(strings.Trim(r.N.Value, "{}"), scalar(string(shell.Name)))
	}
	switch r.Op {
	case syntax.Hdoc, syntax.DashHdoc:
		w.feed(w.document(r))
		return ""
	case syntax.WordHdoc:
		w.feed(w.value(r.Word))
		return ""
	}
	fields := w.fields(r.Word)
	if len(fields) != 1 {
		w.ask(guardDynamic, "a redirection to several files")
		return ""
	}
	target := fields[0]
	if w.socket(target) {
		return ""
	}
	switch r.Op {
	case syntax.RdrIn:
		w.read(target, false)
		w.input = input{given: true, net: shell.FromNet(target) || w.state.loads[w.resolve(target)]}
	case syntax.DplIn, syntax.DplOut:
		return w.duplicate(r, target)
	default:
		if r.Op == syntax.RdrInOut {
			w.read(target, false)
		}
		w.write(target)
		return w.resolve(target)
	}
	return ""
}

// duplicate judges >&N and <&N; with >& a word that is no number is a file.
func (w *walk) duplicate(r *syntax.Redirect, target string) string {
	number := strings.TrimSuffix(target, "-")
	if isNumber(number) || target == string(shell.Name) {
		if r.Op == syntax.DplIn {
			w.input = input{given: true, net: w.input.net}
		}
		return ""
	}
	if r.Op == syntax.DplIn || shell.Unknown(target) {
		w.ask(guardDynamic, "a descriptor that is computed")
		return ""
	}
	w.write(target)
	return w.resolve(target)
}

// feed sets the text of standard input.
func (w *walk) feed(text string) {
	w.input = input{given: true, text: text, known: true, net: shell.FromNet(text)}
}

// document is the text of a here-document; what it expands is judged.
func (w *walk) document(r *syntax.Redirect) string {
	if r.Hdoc == nil {
		return ""
	}
	quoted := false
	for _, p := range r.Word.Parts {
		if l, ok := p.(*syntax.Lit); !ok || strings.Contains(l.Value, "\\") {
			quoted = true
		}
	}
	if quoted {
		var b strings.Builder
		for _, p := range r.Hdoc.Parts {
			if l, ok := p.(*syntax.Lit); ok {
				b.WriteString(l.Value)
			} else {
				b.WriteByte(shell.Any)
			}
		}
		return b.String()
	}
	b := &builder{w: w}
	b.parts(r.Hdoc.Parts, true)
	b.end()
	return strings.Join(b.fields, "")
}

// socket judges the paths that bash takes for connections.
func (w *walk) socket(target string) bool {
	if strings.HasPrefix(target, "/dev/tcp/") || strings.HasPrefix(target, "/dev/udp/") {
		w.deny(guardSocket, "a connection without a program: "+shell.Show(target))
		return true
	}
	return false
}
