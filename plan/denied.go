package plan

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/policy"
)

// This file finds, for a tier whose kernel asks nobody before it runs a program, the files
// that have to be out of reach for a rule that denies a whole program to hold.

// A DeniedName is a program that a rule denies whole, and its files on the host.
type DeniedName struct {
	Name  string   `json:"name"`
	Files []string `json:"files,omitempty"` // real folders; the last part may be a link, which is meant itself
	Notes []string `json:"notes,omitempty"`
	Fault string   `json:"fault,omitempty"` // why not all of its files are known
}

// programFolders are looked through besides PATH.
var programFolders = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/games", "/usr/local/games", gitFolders[0], gitFolders[1]}

// gitFolders hold programs by which git runs itself, among them another copy of git.
var gitFolders = []string{"/usr/lib/git-core", "/usr/libexec/git-core"}

const (
	maxFolderNames = 20_000  // of one folder of programs
	maxWalked      = 400_000 // names that are looked at for further names of one file
)

// DeniedPrograms are the programs that rules for commands deny whole, as [GatherOptions]
// wants them.
func DeniedPrograms(c belljar.Commands) (names []string) {
	for _, r := range c.Rules {
		if name, ok := policy.WholeProgram(r.Pattern); ok && r.Verdict == "deny" {
			names = append(names, name)
		}
	}
	return names
}

// inode is what a file is, whatever its name.
type inode struct{ dev, ino uint64 }

// A named file is one name that leads to a file.
type namedFile struct {
	path string // its folder is real
	link bool   // symbolic
}

// denied looks for the files of programs that rules deny.
func (w *gatherer) denied() {
	if len(w.o.Denied) == 0 {
		return
	}
	folders := w.folders()
	index := map[inode][]namedFile{}
	for _, d := range folders {
		indexFolder(index, d)
	}
	for _, name := range w.o.Denied {
		x := finder{w: w, index: index, d: DeniedName{Name: name}}
		for _, p := range x.places(folders) {
			x.find(p)
		}
		slices.Sort(x.d.Files)
		x.d.Files = slices.Compact(x.d.Files)
		w.f.Denied = append(w.f.Denied, x.d)
	}
}

// folders are those of programs, real and each once.
func (w *gatherer) folders() (real []string) {
	for _, e := range w.f.Path {
		if e.Left == "" && e.Real != "" {
			real = append(real, e.Real)
		}
	}
	for _, d := range programFolders {
		if r, err := filepath.EvalSymlinks(d); err == nil {
			real = append(real, r)
		}
	}
	slices.Sort(real)
	return slices.Compact(real)
}

func indexFolder(index map[inode][]namedFile, dir string) {
	f, err := os.Open(dir)
	if err != nil {
		return
	}
	defer f.Close()
	all, _ := f.ReadDir(maxFolderNames)
	for _, e := range all {
		p := filepath.Join(dir, e.Name())
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() {
			id, _ := inodeOf(st)
			index[id] = append(index[id], namedFile{p, e.Type()&fs.ModeSymlink != 0})
		}
	}
}

func inodeOf(st fs.FileInfo) (id inode, names uint64) {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return inode{}, 0
	}
	return inode{uint64(s.Dev), s.Ino}, uint64(s.Nlink) //nolint:unconvert // the types differ between systems
}

// A finder collects the files of one program.
type finder struct {
	w     *gatherer
	index map[inode][]namedFile
	d     DeniedName
}

// places are where the program is, if it is there.
func (x *finder) places(folders []string) (out []string) {
	switch {
	case filepath.IsAbs(x.d.Name):
		dir, base := filepath.Split(filepath.Clean(x.d.Name))
		return []string{filepath.Join(realOrClean(dir), base)}
	case strings.Contains(x.d.Name, "/"):
		x.d.Fault = "it is a relative path, which is another program in every folder"
		return nil
	}
	for _, d := range folders {
		out = append(out, filepath.Join(d, x.d.Name))
		if x.d.Name == "git" && filepath.Base(d) == "git-core" {
			commands, _ := filepath.Glob(filepath.Join(d, "git-*")) // git-push is git push
			out = append(out, commands...)
		}
	}
	return out
}

// find adds the files that the program p is: the file with all its names, or only the name
// where the file is several programs in one.
func (x *finder) find(p string) {
	st, err := os.Stat(p)
	if err != nil || !st.Mode().IsRegular() {
		return
	}
	id, count := inodeOf(st)
	real, links, err := trail(p)
	if err != nil {
		x.fault("%s: %v", quoted(p), err)
		return
	}
	for _, s := range x.w.f.System {
		if at := realOrClean(s.Path); s.Link == "" && at != s.Path && under(real, at) {
			x.fault("%s lies behind the link %s", quoted(real), quoted(s.Path))
		}
	}
	names := slices.Clone(x.index[id])
	if !slices.ContainsFunc(names, func(n namedFile) bool { return n.path == real }) {
		names = append(names, namedFile{path: real})
	}
	isLink := real != p
	base := filepath.Base(p)
	for _, n := range names {
		if other := filepath.Base(n.path); (isLink || !n.link) && !related(base, other) {
			x.nameOnly(p, real, other, links)
			return
		}
	}
	if isLink {
		x.addNames(p, links)
	}
	x.addFile(real, id, count, names)
}

func (x *finder) fault(format string, a ...any) {
	if x.d.Fault == "" {
		x.d.Fault = fmt.Sprintf(format, a...)
	}
}

// related says whether two names are of one program: python3 and python3.12.
func related(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

// nameOnly denies p, one of several programs in the file real, by its name.
func (x *finder) nameOnly(p, real, other string, links []Link) {
	x.d.Notes = append(x.d.Notes, fmt.Sprintf("%s is %s as well, in the file %s: only the name %s is denied, not what the file does by another one",
		quoted(p), quoted(other), quoted(real), quoted(x.d.Name)))
	x.addNames(p, links)
}

// addNames adds p, and the links behind it that have its name.
func (x *finder) addNames(p string, links []Link) {
	x.d.Files = append(x.d.Files, p)
	for _, l := range links {
		if filepath.Base(l.Path) == filepath.Base(p) {
			x.d.Files = append(x.d.Files, l.Path)
		}
	}
}

// addFile adds a file under all its names.
func (x *finder) addFile(real string, id inode, count uint64, names []namedFile) {
	found := []string{real}
	for _, n := range names {
		if !n.link && n.path != real {
			found = append(found, n.path)
		}
	}
	if uint64(len(found)) < count {
		hard := x.w.hardLinks()
		if hard.fault != "" {
			x.fault("%s has %d names, and not all were found: %s", quoted(real), count, hard.fault)
		}
		found = append(found, hard.byFile[id]...)
	}
	x.d.Files = append(x.d.Files, found...)
}

// A hardLinks list has files that have several names, by what they are.
type hardLinks struct {
	byFile map[inode][]string
	fault  string // not all were looked at
}

// hardLinks looks once through all that may be visible inside for files with several names.
// Names that the sandbox does not see are of no use to it. Folders that hold no programs are
// left out.
func (w *gatherer) hardLinks() *hardLinks {
	if w.hard != nil {
		return w.hard
	}
	w.hard = &hardLinks{byFile: map[inode][]string{}}
	left := maxWalked
	for _, top := range w.visible() {
		_ = filepath.WalkDir(top, func(p string, e fs.DirEntry, err error) error {
			if left--; left < 0 {
				w.hard.fault = fmt.Sprintf("more than %d files would have to be looked at", maxWalked)
				return filepath.SkipAll
			}
			switch {
			case err != nil:
				return nil // what cannot be read here is not read inside
			case e.IsDir() && slices.Contains([]string{"share", "include", "src"}, e.Name()):
				return filepath.SkipDir
			case !e.Type().IsRegular():
				return nil
			}
			if st, err := e.Info(); err == nil {
				if id, names := inodeOf(st); names > 1 {
					w.hard.byFile[id] = append(w.hard.byFile[id], p)
				}
			}
			return nil
		})
	}
	return w.hard
}

// visible are the folders of programs and of their packages, outside the project.
func (w *gatherer) visible() (tops []string) {
	for _, s := range w.f.System {
		if s.Link == "" {
			tops = append(tops, s.Path)
		}
	}
	all := slices.Clone(w.f.Command.Roots)
	for _, e := range w.f.Path {
		all = append(all, e.Roots...)
	}
	for _, r := range all {
		tops = append(tops, r.Path)
	}
	slices.Sort(tops)
	return slices.Compact(tops)
}

// deny decides, where the tier does not ask about programs, how the rules for commands are
// held: Plan.Denied has an entry for each that denies or asks.
func (m *maker) deny() error {
	c, asks := m.p.Commands, enforced(m.c.Requirements, belljar.ReqCommands)
	if c == nil || asks.Level != belljar.None {
		return nil
	}
	for _, r := range c.Rules {
		if r.Verdict == "allow" {
			continue
		}
		d := belljar.DeniedProgram{Verdict: r.Verdict, Pattern: r.Pattern, Reason: r.Reason}
		d.Files, d.Gap = m.denyRule(&r)
		if d.Gap != "" && !m.w.bestEffort {
			return &belljar.Error{Op: "hold " + string(belljar.ReqCommands) + " in tier", ID: m.c.Tier, Kind: belljar.KindRefused,
				Err:  fmt.Errorf("the rule %s%s: %s", quoted(r.Pattern), at(r.Origin), d.Gap),
				Hint: remedy(asks)}
		}
		if slices.Contains(d.Files, m.p.Command.Path) || slices.Contains(d.Files, m.f.Command.Real) {
			return &belljar.Error{Op: "run", ID: quoted(m.p.Command.Path), Kind: belljar.KindRefused,
				Err:  fmt.Errorf("the rule %s%s denies this program, and in tier %s to everybody inside", quoted(r.Pattern), at(r.Origin), m.c.Tier),
				Hint: strings.TrimPrefix(asks.Remedy+", or take the rule away", ", or ")}
		}
		m.p.Denied = append(m.p.Denied, d)
	}
	return nil
}

// enforced is what l says of a requirement.
func enforced(l []belljar.Enforcement, r belljar.Requirement) belljar.Enforcement {
	for _, e := range l {
		if e.Requirement == r {
			return e
		}
	}
	return belljar.Enforcement{Requirement: r, Level: belljar.None}
}

// denyRule is what has to be covered inside for a rule to hold, or why it cannot.
func (m *maker) denyRule(r *belljar.CommandRule) (files []string, gap string) {
	name, whole := policy.WholeProgram(r.Pattern)
	switch {
	case r.Verdict != "deny":
		return nil, "the host's kernel asks nobody before it runs a program: a rule that asks is told to known agents by their hooks only"
	case !whole:
		return nil, "the host's kernel does not look at arguments: it is told to known agents by their hooks only; a program is denied whole by a rule such as \"sudo *\""
	case enforced(m.c.Requirements, belljar.ReqDenied).Level == belljar.None:
		return nil, "the tier cannot keep a program from running"
	}
	i := slices.IndexFunc(m.f.Denied, func(d DeniedName) bool { return d.Name == name })
	if i < 0 {
		return nil, "nothing is known of its files"
	}
	d := &m.f.Denied[i]
	if d.Fault != "" {
		return nil, d.Fault
	}
	for _, f := range d.Files {
		inside, err := m.inside(f)
		if err != nil {
			return nil, err.Error()
		}
		files = append(files, inside...)
	}
	if len(files) == 0 {
		m.note("no program %s is visible inside (rule %s): one that comes later is not kept from running", quoted(name), quoted(r.Pattern))
	}
	for _, n := range d.Notes {
		m.note("%s", n)
	}
	slices.Sort(files)
	return slices.Compact(files), ""
}

func (m *maker) note(format string, a ...any) {
	m.p.Notes = append(m.p.Notes, fmt.Sprintf(format, a...))
}

// inside is where the sandbox sees a file of the host; an error says that it could be made
// anew there, under the same name.
func (m *maker) inside(file string) (at []string, err error) {
	for _, v := range m.p.Workspace.Views {
		if under(file, v.Source) || under(file, v.Target) { // a worktree is served in the project's place
			return nil, errors.New(quoted(file) + " lies in " + quoted(v.Target) + ", which is served to the sandbox and can change: nothing can be kept away there")
		}
	}
	for _, x := range m.p.Mounts {
		if x.Kind == belljar.MountSymlink && x.Target == file {
			at = append(at, file)
		}
		if x.Kind != belljar.MountBind || !under(file, x.Source) {
			continue
		}
		p := filepath.Join(x.Target, strings.TrimPrefix(file, x.Source))
		if !m.shows(x.Target, p) {
			continue
		}
		if !x.ReadOnly {
			return nil, errors.New(quoted(p) + " lies in a folder that may be written inside: it could be put there again")
		}
		at = append(at, p)
	}
	return at, nil
}

// shows says whether p is what is mounted at target, and nothing nearer covers it.
func (m *maker) shows(target, p string) bool {
	nearer := func(other string) bool { return len(other) > len(target) && under(p, other) }
	return !slices.ContainsFunc(m.p.Mounts, func(x belljar.Mount) bool { return nearer(x.Target) }) &&
		!slices.ContainsFunc(m.p.Workspace.Views, func(v belljar.View) bool { return nearer(v.Target) })
}
