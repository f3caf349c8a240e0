package plan

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
)

// maxInterpreters bounds a chain of scripts whose interpreters are scripts.
const maxInterpreters = 4

// command resolves the first word as a shell would, and finds what it needs.
func (w *gatherer) command() error {
	argv := w.o.Command
	if len(argv) == 0 || argv[0] == "" {
		return &belljar.Error{Op: "run", Kind: belljar.KindUsage, Err: errors.New("no command"), Hint: "belljar run -- COMMAND"}
	}
	p := Program{Argv: argv}
	var err error
	if strings.Contains(argv[0], "/") {
		err = w.commandByPath(&p, argv[0])
	} else {
		err = w.commandOnPath(&p, argv[0])
	}
	if err != nil {
		return err
	}
	if w.shallow {
		w.f.Command = p
		return nil
	}
	if err := w.commandRoots(&p); err != nil {
		return err
	}
	w.f.Command = p
	return nil
}

func (w *gatherer) commandByPath(p *Program, name string) error {
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(w.f.Dir, path)
	}
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist), err != nil && strings.Contains(path, "\x00"):
		return runError(name, belljar.KindNotFound, errors.New("no such file"), "")
	case err != nil:
		return runError(name, belljar.KindRefused, bareError(err), "")
	case st.IsDir():
		return runError(name, belljar.KindRefused, errors.New("it is a folder"), "")
	case !st.Mode().IsRegular() || !canExecute(path):
		return runError(name, belljar.KindRefused, errors.New("it is not executable"), "chmod +x "+quoted(name))
	}
	p.Path = filepath.Clean(path)
	p.Real, err = filepath.EvalSymlinks(path)
	if err != nil {
		return runError(name, belljar.KindRefused, bareError(err), "")
	}
	p.InWorkspace = under(p.Real, w.g.work) || under(p.Path, w.g.work)
	return nil
}

// commandOnPath looks through PATH in order. A name in an entry that is left out
// is not run from a later entry silently when nothing else has it: the error says
// where it is and why it is not visible.
func (w *gatherer) commandOnPath(p *Program, name string) error {
	p.Bare = true
	var left, blocked string
	for _, e := range w.f.Path {
		dir := e.As
		relative := !filepath.IsAbs(dir)
		if relative {
			dir = filepath.Join(w.f.Dir, dir)
		}
		path := filepath.Join(dir, name)
		st, err := os.Stat(path)
		if err != nil || st.IsDir() {
			continue
		}
		if !st.Mode().IsRegular() || !canExecute(path) {
			blocked = path
			continue
		}
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			continue
		}
		inside := under(path, w.g.work) || under(real, w.g.work)
		if e.Left != "" && !(relative && inside) {
			if left == "" {
				left = fmt.Sprintf("it is in %s, which is left out: %s", quoted(dir), e.Left)
			}
			continue
		}
		p.Path, p.Real, p.InWorkspace = path, real, inside || relative
		return nil
	}
	switch {
	case left != "":
		return runError(name, belljar.KindNotFound, errors.New("not found in the PATH of the sandbox; "+left),
			"put it into a folder of programs, or name it by its path")
	case blocked != "":
		return runError(name, belljar.KindRefused, fmt.Errorf("%s is not executable", quoted(blocked)), "")
	}
	return runError(name, belljar.KindNotFound, errors.New("not found on PATH"), w.leftHint())
}

// leftHint names the entries of PATH that exist and are not visible inside.
func (w *gatherer) leftHint() string {
	var out []string
	for _, e := range w.f.Path {
		if e.Left != "" && e.Real != "" {
			out = append(out, quoted(e.As))
		}
	}
	if len(out) == 0 {
		return ""
	}
	return "left out of PATH: " + strings.Join(out, ", ")
}

func runError(name string, k belljar.Kind, err error, hint string) error {
	return &belljar.Error{Op: "run", ID: quoted(name), Kind: k, Err: err, Hint: hint}
}

// commandRoots adds the package of the program and those of its interpreters.
func (w *gatherer) commandRoots(p *Program) error {
	r := roots{w: w, led: p.InWorkspace}
	for _, e := range w.f.Path {
		if e.Left == "" {
			r.base = append(r.base, e.Roots...)
		}
	}
	for _, named := range slices.Concat(w.o.Read, w.o.Write) {
		r.base = append(r.base, Root{Path: realOrClean(named)})
	}
	path, real := p.Path, p.Real
	for range maxInterpreters {
		if !r.has(real) {
			for _, root := range w.packageOf(real) {
				if why := r.add(root, "the command "+filepath.Base(p.Argv[0])); why != "" {
					hint := ""
					if r.led {
						hint = "--read " + quoted(root) + " shows it, if you want that"
					}
					return runError(p.Argv[0], belljar.KindRefused,
						fmt.Errorf("%s must not be visible inside: %s", quoted(root), why), hint)
				}
			}
		}
		w.addLinks(path)
		next := interpreter(real)
		if next == "" {
			break
		}
		var err error
		if path, real, err = w.findInterpreter(next); err != nil {
			w.note("%s asks for %s: %v", quoted(p.Real), quoted(next), err)
			break
		}
	}
	p.Roots = r.list
	return nil
}

func (w *gatherer) findInterpreter(name string) (path, real string, err error) {
	if filepath.IsAbs(name) {
		path = filepath.Clean(name)
		real, err = filepath.EvalSymlinks(name)
		return path, real, bareErr(err)
	}
	if strings.Contains(name, "/") {
		return "", "", errors.New("a relative path")
	}
	for _, e := range w.f.Path {
		if e.Left != "" {
			continue
		}
		path = filepath.Join(e.As, name)
		if executable(path) {
			real, err = filepath.EvalSymlinks(path)
			return path, real, bareErr(err)
		}
	}
	return "", "", errors.New("it is not on the PATH of the sandbox")
}

func bareErr(err error) error {
	if err == nil {
		return nil
	}
	return bareError(err)
}

// interpreter is the program that a script names in its first line: a path, or
// the bare name that env is to look up. Empty for anything else.
func interpreter(file string) string {
	f, err := openRegular(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	var b [256]byte
	n, _ := f.Read(b[:])
	line, ok := bytes.CutPrefix(b[:n], []byte("#!"))
	if !ok {
		return ""
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	words := strings.Fields(string(line))
	if len(words) == 0 {
		return ""
	}
	if filepath.Base(words[0]) != "env" {
		return words[0]
	}
	for _, x := range words[1:] {
		if !strings.HasPrefix(x, "-") && !strings.Contains(x, "=") {
			return x
		}
	}
	return words[0]
}
