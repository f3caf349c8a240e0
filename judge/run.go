package judge

import "strings"

// A Setting is where a line is judged that an agent is about to run in a sandbox.
type Setting struct {
	Dir string // the working folder, absolute; empty: the context's
	// AskedAtExec says that what a rule asks or may deny of a program is judged again when
	// the program is executed, as [Judge.Exec] does, and asked then.
	AskedAtExec bool
}

// Run judges a line as [Judge.Line] does, for a run: of the findings that ask, those count
// that mean something there.
//
//   - Where no rule allows anything, the policy has not said which commands an agent may run
//     without being asked: then only its rules ask, and what cannot be read.
//   - What is asked when the program is executed is not asked twice.
func (j *Judge) Run(line string, s Setting) Decision {
	return j.line(line, &s)
}

// counts says whether a finding counts in a run; program that it is about a program that is
// executed.
func (s *Setting) counts(j *Judge, f Finding, program bool) bool {
	if s == nil || f.Verdict != Ask {
		return true
	}
	if f.Rule == "" || strings.HasPrefix(f.Rule, "guard:") {
		return f.Rule == guardShape || j.allows()
	}
	return !program || !s.AskedAtExec
}

// allows says whether any rule allows.
func (j *Judge) allows() bool { return len(j.rules[Allow].byName)+len(j.rules[Allow].others) > 0 }

// builtins are the commands that bash carries out itself: no program is executed for them.
func builtins() []string {
	return []string{
		".", ":", "[", "alias", "bg", "bind", "break", "builtin", "caller", "cd", "command", "compgen", "complete", "compopt", "continue",
		"declare", "dirs", "disown", "echo", "enable", "eval", "exec", "exit", "export", "false", "fc", "fg", "getopts", "hash", "help",
		"history", "jobs", "kill", "let", "local", "logout", "mapfile", "popd", "printf", "pushd", "pwd", "read", "readarray", "readonly",
		"return", "set", "shift", "shopt", "source", "suspend", "test", "times", "trap", "true", "type", "typeset", "ulimit", "umask",
		"unalias", "unset", "wait",
	}
}
