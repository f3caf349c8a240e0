package plan

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
)

// A ProgramFile is a program that a credential is for.
type ProgramFile struct {
	As   string `json:"as"`
	Real string `json:"real,omitempty"` // the file behind it
	// Fault says why no credential can be for it, whatever a sandbox sees.
	Fault string `json:"fault,omitempty"`
}

// programs looks at the programs that credentials are for.
func (w *gatherer) programs() {
	for _, p := range w.o.Programs {
		w.f.Programs = append(w.f.Programs, programFile(p))
	}
}

func programFile(as string) ProgramFile {
	p := ProgramFile{As: as}
	real, _, err := trail(as)
	if err != nil {
		p.Fault = "it is not there: " + err.Error()
		return p
	}
	p.Real = real
	f, err := openRegular(real)
	if err != nil {
		p.Fault = err.Error()
		return p
	}
	defer f.Close()
	var head [4]byte
	n, _ := f.Read(head[:])
	switch {
	case bytes.HasPrefix(head[:n], []byte("#!")):
		p.Fault = "it is a script: what runs is " + quoted(orElse(interpreter(real), "its interpreter")) + ", which runs any other script too"
	case string(head[:n]) != "\x7fELF":
		p.Fault = "it is no program of this system (no ELF file)"
	case runsAnything(filepath.Base(real)):
		p.Fault = "it runs what it is told to, so everything inside would have the credential"
	}
	return p
}

// runsAnything says whether a program is known to run code that it is given. The list
// keeps from mistakes; it cannot be complete.
func runsAnything(name string) bool {
	for _, n := range []string{
		"bash", "sh", "dash", "ash", "ksh", "mksh", "zsh", "fish", "csh", "tcsh", "busybox", "toybox", "env", "python", "pypy", "perl", "ruby", "node",
		"nodejs", "deno", "bun", "php", "lua", "luajit", "tclsh", "wish", "awk", "gawk", "mawk", "nawk", "guile", "java", "gdb", "lldb", "emacs", "vim", "vi",
		"nvim", "ld.so", "ld-linux", "ld-musl",
	} {
		rest, ok := strings.CutPrefix(name, n)
		if ok && (rest == "" || strings.ContainsRune("0123456789.-_", rune(rest[0])) || strings.HasPrefix(n, "ld-")) { // perl5.40-x86_64-linux-gnu, vim.basic
			return true
		}
	}
	return false
}

// ResolvePrograms gives credentials that are for some programs the files behind their
// names, as f found them.
func ResolvePrograms(f *Facts, creds []belljar.Credential) {
	for i := range creds {
		c := &creds[i]
		c.Programs = slices.Clone(c.Programs)
		for j, as := range c.Programs {
			if at := slices.IndexFunc(f.Programs, func(p ProgramFile) bool { return p.As == as && p.Real != "" }); at >= 0 {
				c.Programs[j] = f.Programs[at].Real
			}
		}
		slices.Sort(c.Programs)
		c.Programs = slices.Compact(c.Programs)
	}
}

// ForPrograms says whether a credential of the plan is for some programs only.
func ForPrograms(l []belljar.Credential) bool {
	return slices.ContainsFunc(l, func(c belljar.Credential) bool { return len(c.Programs) > 0 && !c.Withheld })
}

// checkPrograms refuses a credential for a program that something inside could change, or
// that is not the host's file at the host's place.
func (m *maker) checkPrograms() error {
	for _, c := range m.p.Network.Credentials {
		if c.Withheld {
			continue
		}
		for _, p := range c.Programs {
			if why := m.programFault(p); why != "" {
				return &belljar.Error{Op: "give " + c.Name + " to", ID: p, Kind: belljar.KindUsage, Err: errors.New(why),
					Hint: "name an installed program that is read-only inside, below programs of the credential" + at(c.Origin)}
			}
		}
	}
	return nil
}

func (m *maker) programFault(p string) string {
	for _, x := range m.f.Programs {
		if (x.As == p || x.Real == p) && x.Fault != "" {
			return x.Fault
		}
	}
	if !slices.ContainsFunc(m.f.Programs, func(x ProgramFile) bool { return x.Real == p }) {
		return "nothing is known of it"
	}
	place := ""
	why := "the sandbox does not see it"
	for _, x := range m.p.Mounts {
		if !under(p, x.Target) || len(x.Target) < len(place) {
			continue
		}
		place, why = x.Target, ""
		if x.Kind != belljar.MountBind || x.Source != x.Target || !x.ReadOnly {
			why = fmt.Sprintf("what is inside can change it, or it is another file there (%s)", quoted(x.Target))
		}
	}
	for _, v := range m.p.Workspace.Views {
		if under(p, v.Target) && len(v.Target) >= len(place) {
			place, why = v.Target, "it lies in "+quoted(v.Target)+", which holds files that somebody works on"
		}
	}
	return why
}
