package judge

import (
	"errors"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/belljar-dev/belljar/judge/internal/shell"
)

// A walk judges one line. What it finds is kept in findings; state is what is known
// at the point that it has reached.
type walk struct {
	judge    *Judge
	state    *state
	findings []Finding
	left     int    // commands that may still be judged
	work     int    // steps that may still be taken
	nested   int    // lines within lines
	quiet    int    // findings are not noted
	src      string // the text that is walked
	part     string // the part of it that is judged
	input    input  // what standard input is
	nets     int    // programs that fetch from the network, so far
	defining []string
	declared []*uses
	unsets   bool // names of functions may be those of programs as well
	external bool // names mean programs, not functions
	setting  *Setting
	executed bool // what is noted is about a program that is executed
}

// An input is what is known of standard input.
type input struct {
	given bool     // there is one that the line says
	net   bool     // it came from the network
	text  string   // its text, with unknown parts, when known
	known bool     // whether text is known
	names []string // paths that a program such as find lists
}

// say notes a finding for the part that is judged.
func (w *walk) say(v Verdict, guard, reason string) {
	w.note(Finding{v, reason, guard, w.part})
}

func (w *walk) ask(guard, reason string)  { w.say(Ask, guard, reason) }
func (w *walk) deny(guard, reason string) { w.say(Deny, guard, reason) }

// line judges a text as a shell line in the state that is reached.
func (w *walk) line(text string) {
	part := w.part
	w.part = text
	defer func() { w.part = part }()
	if w.nested >= maxNested {
		w.ask(guardShape, "too many lines within lines")
		return
	}
	file, err := shell.Parse(text)
	switch {
	case errors.Is(err, shell.ErrControl):
		w.deny(guardShape, err.Error())
		return
	case err != nil:
		w.ask(guardShape, "not a line that can be judged: "+firstLine(err.Error()))
		return
	}
	src := w.src
	w.src, w.nested = text, w.nested+1
	w.stmts(file.Stmts)
	w.src, w.nested = src, w.nested-1
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// text is the source of a node.
func (w *walk) text(n syntax.Node) string {
	from, to := int(n.Pos().Offset()), int(n.End().Offset())
	if from > to || to > len(w.src) {
		return w.src
	}
	return w.src[from:to]
}

// spend takes steps from what a line may cost. It says false when nothing is left: then
// the line is a question, and the rest of it is not looked at.
func (w *walk) spend(n int) bool {
	if w.work < 0 {
		return false
	}
	if w.work -= n; w.work < 0 {
		quiet := w.quiet
		w.quiet = 0
		w.ask(guardShape, "judging the line takes too long")
		w.quiet = quiet
		return false
	}
	return true
}

// forget makes unknown what statements may assign, before a loop runs them again.
func (w *walk) forget(l []*syntax.Stmt) { w.spend(w.state.forget(l)) }

// aside runs f on a copy of the state, as a subshell does, and returns the copy.
func (w *walk) aside(f func()) *state {
	before := w.state
	w.spend(1 + len(before.vars)/4)
	w.state = before.clone()
	f()
	after := w.state
	w.state = before
	return after
}

func (w *walk) stmts(l []*syntax.Stmt) {
	for _, s := range l {
		w.stmt(s)
	}
}

func (w *walk) stmt(s *syntax.Stmt) {
	if s == nil || !w.spend(1) {
		return
	}
	part, in := w.part, w.input
	w.part = w.text(s)
	defer func() { w.part, w.input = part, in }()
	if s.Background || s.Coprocess {
		w.aside(func() { w.bare(s) })
		return
	}
	w.bare(s)
}

func (w *walk) bare(s *syntax.Stmt) {
	nets := w.nets
	var written []string
	for _, r := range s.Redirs {
		if p := w.redirect(r); p != "" {
			written = append(written, p)
		}
	}
	w.command(s.Cmd)
	if w.nets > nets || w.input.net {
		for _, p := range written {
			w.state.load(p)
		}
	}
}

func (w *walk) command(c syntax.Command) {
	switch c := c.(type) {
	case nil:
	case *syntax.CallExpr:
		w.call(c)
	case *syntax.BinaryCmd:
		w.binary(c)
	case *syntax.Subshell:
		w.aside(func() { w.stmts(c.Stmts) })
	case *syntax.Block:
		w.stmts(c.Stmts)
	case *syntax.IfClause:
		w.branch(c)
	case *syntax.WhileClause:
		w.forget(c.Cond)
		w.forget(c.Do)
		w.stmts(c.Cond)
		after := w.aside(func() { w.stmts(c.Do) })
		w.state.join(after)
		w.forget(c.Cond) // the last round of the condition has failed
	case *syntax.ForClause:
		w.loop(c)
	case *syntax.CaseClause:
		w.choose(c)
	case *syntax.FuncDecl:
		w.declareFunc(c)
	case *syntax.ArithmCmd:
		w.arithm(c.X)
	case *syntax.TestClause:
		w.test(c.X)
	case *syntax.DeclClause:
		w.declare(c)
	case *syntax.LetClause:
		for _, x := range c.Exprs {
			w.arithm(x)
		}
	case *syntax.TimeClause:
		w.stmt(c.Stmt)
	case *syntax.CoprocClause:
		w.aside(func() { w.stmt(c.Stmt) })
	default:
		w.ask(guardShape, "a kind of command that is not known")
	}
}

func (w *walk) binary(c *syntax.BinaryCmd) {
	if c.Op == syntax.Pipe || c.Op == syntax.PipeAll {
		w.pipe(c)
		return
	}
	// Long lists lean to the left: the loop keeps the stack flat.
	var rest []*syntax.Stmt
	left := c
	for {
		rest = append(rest, left.Y)
		next, ok := left.X.Cmd.(*syntax.BinaryCmd)
		if !ok || next.Op == syntax.Pipe || next.Op == syntax.PipeAll || len(left.X.Redirs) > 0 || left.X.Background {
			break
		}
		left = next
	}
	w.stmt(left.X)
	for i := len(rest) - 1; i >= 0; i-- {
		w.spend(1 + len(w.state.vars)/4)
		before := w.state.clone()
		w.stmt(rest[i])
		if i == 0 && !plainMove(rest[i]) {
			w.state.join(before)
		}
	}
}

// plainMove says whether a statement may be taken to have run when the list goes on.
func plainMove(s *syntax.Stmt) bool {
	c, ok := s.Cmd.(*syntax.CallExpr)
	return ok && len(c.Assigns) == 0 && len(c.Args) > 0 && c.Args[0].Lit() == "exit"
}

// pipe judges the elements of a pipeline, each with what the one before prints.
func (w *walk) pipe(c *syntax.BinaryCmd) {
	var elements []*syntax.Stmt
	for {
		elements = append(elements, c.Y)
		next, ok := c.X.Cmd.(*syntax.BinaryCmd)
		if !ok || next.Op != syntax.Pipe && next.Op != syntax.PipeAll || len(c.X.Redirs) > 0 {
			elements = append(elements, c.X)
			break
		}
		c = next
	}
	in := w.input
	for i := len(elements) - 1; i >= 0; i-- {
		s := elements[i]
		w.input = in
		nets := w.nets
		after := w.aside(func() { w.stmt(s) })
		for p := range after.loads {
			w.state.load(p)
		}
		for p, t := range after.links {
			w.state.link(p, t)
		}
		in = w.output(s, in)
		in.given = true
		in.net = in.net || w.nets > nets
	}
}

func (w *walk) branch(c *syntax.IfClause) {
	w.stmts(c.Cond)
	then := w.aside(func() { w.stmts(c.Then) })
	if c.Else != nil {
		if len(c.Else.Cond) > 0 {
			w.branch(c.Else)
		} else {
			w.stmts(c.Else.Then)
		}
	}
	w.state.join(then)
}

// maxRounds is how often a loop is walked with different values.
const maxRounds = 8

func (w *walk) loop(c *syntax.ForClause) {
	if l, ok := c.Loop.(*syntax.CStyleLoop); ok {
		w.forget(c.Do)
		for _, x := range []syntax.ArithmExpr{l.Init, l.Cond} {
			if x != nil {
				w.arithm(x)
			}
		}
		after := w.aside(func() { w.stmts(c.Do) })
		if l.Post != nil {
			w.arithm(l.Post)
		}
		w.state.join(after)
		return
	}
	l := c.Loop.(*syntax.WordIter)
	var items []string
	for _, i := range l.Items {
		items = append(items, w.fields(i)...)
	}
	if !l.InPos.IsValid() {
		items = w.positional()
	}
	before := w.state.clone()
	w.forget(c.Do)
	if len(items) > maxRounds || c.Select {
		items = []string{merge(items)}
	}
	for _, v := range items {
		round := w.aside(func() {
			w.assign(l.Name.Value, scalar(v))
			w.stmts(c.Do)
		})
		w.state.join(round)
	}
	w.state.join(before)
}

// merge is a field that may be any of some.
func merge(items []string) string {
	all := string(shell.Name)
	for _, v := range items {
		switch {
		case shell.FromNet(v):
			return string(shell.Net)
		case !isPlainName(v):
			all = string(shell.Any)
		}
	}
	return all
}

// isPlainName says whether a field is a name of a file in the working folder or a word
// without meaning: no slash, no dash first, no dot first.
func isPlainName(v string) bool {
	return v != "" && v[0] != '-' && v[0] != '.' && !strings.ContainsAny(v, "/\x03\x05\x06 \t\n")
}

func (w *walk) choose(c *syntax.CaseClause) {
	w.value(c.Word)
	before := w.state.clone()
	for _, item := range c.Items {
		for _, p := range item.Patterns {
			w.value(p)
		}
		after := w.aside(func() { w.stmts(item.Stmts) })
		before.join(after)
	}
	w.state = before
}
