package judge

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/belljar-dev/belljar/judge/internal/shell"
)

// variable is the text of a variable, as far as it is known.
func (w *walk) variable(name string) string {
	if v, ok := w.state.vars[name]; ok {
		if len(v.fields) == 0 {
			return ""
		}
		return v.fields[0]
	}
	switch name {
	case "HOME":
		return w.judge.context.Home
	case "PWD":
		return w.state.dir
	case "OLDPWD":
		return w.state.old
	case "IFS":
		return " \t\n"
	case "?", "#", "$", "!", "-", "RANDOM", "SECONDS", "LINENO", "BASHPID", "UID", "EUID", "PPID", "EPOCHSECONDS", "SRANDOM",
		"SHLVL", "COLUMNS", "LINES", "OPTIND", "USER", "LOGNAME", "HOSTNAME", "HOSTTYPE", "OSTYPE", "MACHTYPE", "BASH_VERSION":
		return string(shell.Name)
	case "TMPDIR":
		return "/tmp"
	}
	return string(shell.Any)
}

// positional are the arguments of the script or function.
func (w *walk) positional() []string {
	if w.state.args == nil {
		return []string{string(shell.Any)}
	}
	return w.state.args
}

// param adds a parameter expansion.
func (b *builder) param(p *syntax.ParamExp, quoted bool) {
	w := b.w
	name := ""
	if p.Param != nil {
		name = p.Param.Value
	}
	many := false
	if p.Index != nil {
		many = w.index(p.Index)
	}
	fields := w.held(name, many, quoted)
	switch {
	case p.Length || p.Names != 0 || p.Width || p.IsSet:
		fields = []string{string(shell.Name)}
	case p.Excl:
		fields = []string{w.indirect(name)}
	case p.Slice != nil:
		for _, x := range []syntax.ArithmExpr{p.Slice.Offset, p.Slice.Length} {
			if x != nil {
				w.arithm(x)
			}
		}
		fields = part(fields)
	case p.Repl != nil:
		w.value(p.Repl.Orig)
		with := w.value(p.Repl.With)
		fields = part(fields)
		if with != "" && !isPlainName(with) && !shell.FromNet(fields[0]) {
			fields = []string{string(shell.Any)}
		}
	case p.Exp != nil:
		fields = b.operate(name, p.Exp, fields, quoted)
	case p.NestedParam != nil || p.Flags != nil || len(p.Modifiers) > 0:
		w.ask(guardShape, "an expansion of another shell")
		fields = []string{string(shell.Any)}
	}
	b.insert(fields, quoted, many || name == "@" || name == "*")
}

// index judges a subscript; true when it means all elements.
func (w *walk) index(x syntax.ArithmExpr) bool {
	if word, ok := x.(*syntax.Word); ok {
		if l := word.Lit(); l == "@" || l == "*" {
			return true
		}
	}
	w.arithm(x)
	return false
}

// held are the fields of a parameter.
func (w *walk) held(name string, many, quoted bool) []string {
	switch {
	case name == "@" || name == "*":
		if args := w.positional(); name == "@" || !quoted {
			return args
		} else {
			return []string{strings.Join(args, " ")}
		}
	case isNumber(name) && name != "":
		if n := int(name[0] - '0'); len(name) == 1 && n > 0 && w.state.args != nil {
			if n > len(w.state.args) {
				return []string{""}
			}
			return []string{w.state.args[n-1]}
		}
		return []string{string(shell.Any)}
	}
	v, ok := w.state.vars[name]
	if many {
		if !ok {
			return []string{string(shell.Any)}
		}
		return v.fields
	}
	if ok && v.array && len(v.fields) > 1 {
		return []string{merge(v.fields)}
	}
	return []string{w.variable(name)}
}

// indirect is ${!name}: the text of the variable that name names. A subscript in
// the name would run what stands in it.
func (w *walk) indirect(name string) string {
	v := w.variable(name)
	if isIdentifier(v) {
		return w.variable(v)
	}
	if _, ours := w.state.vars[name]; ours || shell.FromNet(v) {
		w.ask(guardDynamic, "a variable whose name is computed")
	}
	return string(shell.Any)
}

// part is what a piece of each field may be.
func part(fields []string) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		switch {
		case shell.FromNet(f):
			out[i] = string(shell.Net)
		case isPlainName(f) && shell.Static(f) && !strings.ContainsAny(f, "-."):
			out[i] = string(shell.Name)
		case isPlainName(f) && !strings.Contains(f, "-"):
			out[i] = string(shell.File)
		default:
			out[i] = string(shell.Any)
		}
	}
	if len(out) == 0 {
		return []string{""}
	}
	return out
}

// operate applies ${name-word} and its like.
func (b *builder) operate(name string, e *syntax.Expansion, fields []string, quoted bool) []string {
	w := b.w
	word := ""
	if e.Word != nil {
		word = w.value(e.Word)
	}
	joined := strings.Join(fields, " ")
	switch e.Op {
	case syntax.DefaultUnset, syntax.DefaultUnsetOrNull:
		return []string{either(joined, word)}
	case syntax.AssignUnset, syntax.AssignUnsetOrNull:
		v := either(joined, word)
		w.assign(name, scalar(v))
		return []string{v}
	case syntax.AlternateUnset, syntax.AlternateUnsetOrNull:
		if shell.FromNet(word) {
			return []string{string(shell.Net)}
		}
		return []string{string(shell.Any)}
	case syntax.ErrorUnset, syntax.ErrorUnsetOrNull:
		return fields
	case syntax.OtherParamOps:
		if word == "P" || !shell.Static(word) {
			w.ask(guardDynamic, "text that is expanded again")
		}
		return part(fields)
	case syntax.RemSmallSuffix, syntax.RemLargeSuffix, syntax.RemSmallPrefix, syntax.RemLargePrefix:
		return part(fields)
	}
	return part(fields)
}

// either is a text that is one of two: the first when it is known to be something.
func either(a, b string) string {
	switch {
	case a != "" && shell.Static(a):
		return a
	case a == "":
		return b
	case shell.FromNet(a) || shell.FromNet(b):
		return string(shell.Net)
	case a == string(shell.Name) && isPlainName(b):
		return a
	}
	return string(shell.Any)
}

// substitute judges a command substitution and says what it may print.
func (w *walk) substitute(c *syntax.CmdSubst) string {
	if !w.spend(1) {
		return string(shell.Any)
	}
	nets, in := w.nets, w.input
	w.input = input{}
	w.aside(func() { w.stmts(c.Stmts) })
	w.input = in
	if w.nets > nets {
		return string(shell.Net)
	}
	if len(c.Stmts) != 1 {
		return string(shell.Any)
	}
	out := w.output(c.Stmts[0], input{})
	switch {
	case out.net:
		return string(shell.Net)
	case out.known:
		return strings.TrimRight(out.text, "\n")
	case len(out.names) > 0:
		return strings.Join(out.names, " ")
	}
	return string(shell.Any)
}

// process judges a process substitution; its path says whether it brings data
// from the network.
func (w *walk) process(p *syntax.ProcSubst) string {
	if !w.spend(1) {
		return string(shell.Any)
	}
	nets, in := w.nets, w.input
	w.input = input{given: true, net: in.net && p.Op == syntax.CmdOut}
	w.aside(func() { w.stmts(p.Stmts) })
	w.input = in
	if w.nets > nets && p.Op == syntax.CmdIn {
		return "/dev/fd/" + string(shell.Net)
	}
	return "/dev/fd/63"
}

// arithm judges an arithmetic expression: names in it are evaluated again, so that
// text in a variable may run a command in a subscript.
func (w *walk) arithm(x syntax.ArithmExpr) {
	if x == nil || !w.spend(1) {
		return
	}
	switch x := x.(type) {
	case *syntax.Word:
		w.operand(x)
	case *syntax.BinaryArithm:
		w.arithm(x.X)
		w.arithm(x.Y)
		if name, ok := x.X.(*syntax.Word); ok && isAssignment(x.Op) {
			w.assign(name.Lit(), scalar(string(shell.Name)))
		}
	case *syntax.UnaryArithm:
		w.arithm(x.X)
	case *syntax.ParenArithm:
		w.arithm(x.X)
	default:
		w.ask(guardShape, "a kind of arithmetic that is not known")
	}
}

func isAssignment(o syntax.BinAritOperator) bool {
	s := o.String()
	return strings.HasSuffix(s, "=") && s != "==" && s != "!=" && s != "<=" && s != ">="
}

func (w *walk) operand(x *syntax.Word) {
	v := w.value(x)
	if v == string(shell.Any) && w.foreign(x) {
		return
	}
	for range maxNested {
		if harmlessNumber(v) {
			return
		}
		if !isIdentifier(v) {
			break
		}
		next, ours := w.state.vars[v]
		if !ours {
			return // of the environment: text that the line does not control
		}
		v = strings.Join(next.fields, " ")
	}
	w.ask(guardDynamic, "arithmetic on text that is not a number")
}

// foreign says whether a word is one variable that the line did not set.
func (w *walk) foreign(x *syntax.Word) bool {
	if len(x.Parts) != 1 {
		return false
	}
	p, ok := x.Parts[0].(*syntax.ParamExp)
	if !ok || p.Param == nil || p.Exp != nil || p.Excl || p.Index != nil {
		return false
	}
	_, ours := w.state.vars[p.Param.Value]
	return !ours
}

// harmlessNumber says whether a text has no subscript that could run anything.
func harmlessNumber(v string) bool {
	v = strings.TrimPrefix(v, "0x")
	for i := range len(v) {
		c := v[i]
		if c != shell.Name && c != '#' && c != ' ' && c != '-' && c != '+' && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// test judges [[ … ]].
func (w *walk) test(x syntax.TestExpr) {
	switch x := x.(type) {
	case nil:
	case *syntax.Word:
		w.value(x)
	case *syntax.ParenTest:
		w.test(x.X)
	case *syntax.UnaryTest:
		w.test(x.X)
		if word, ok := x.X.(*syntax.Word); ok && (x.Op == syntax.TsVarSet || x.Op == syntax.TsRefVar) {
			w.name(w.value(word))
		}
	case *syntax.BinaryTest:
		w.test(x.X)
		w.test(x.Y)
		switch x.Op {
		case syntax.TsEql, syntax.TsNeq, syntax.TsLeq, syntax.TsGeq, syntax.TsLss, syntax.TsGtr:
			for _, side := range []syntax.TestExpr{x.X, x.Y} {
				if word, ok := side.(*syntax.Word); ok {
					w.operand(word)
				}
			}
		}
	default:
		w.ask(guardShape, "a kind of test that is not known")
	}
}

// name judges a text that the shell takes for the name of a variable: a subscript
// in it is evaluated.
func (w *walk) name(v string) {
	base, sub, has := strings.Cut(v, "[")
	if has && !isNumber(strings.TrimSuffix(sub, "]")) && strings.TrimSuffix(sub, "]") != "@" || shell.Unknown(base) {
		w.ask(guardDynamic, "the name of a variable that is computed")
	}
}
