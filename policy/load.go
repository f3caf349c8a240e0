package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/belljar-dev/belljar"
)

// LoadOptions say where the layers are. Everything may be empty.
type LoadOptions struct {
	UserFile    string // the user's policy; need not exist
	CeilingFile string // the organisation's; where it exists it must be root's and nobody else may write to it or its folder
	ProjectFile string // WORKSPACE/belljar.yaml; need not exist; never a link
	PolicyFile  string // --policy: a file of the user's own choice (layer "flag"); must exist

	Command string   // the bare name of a known agent selects its preset
	Presets []string // --preset
	Flags   Flags    // the other flags

	Home      string   // the user's HOME
	Dir       string   // the current folder, for relative paths in flags
	Workspace string   // the workspace, which no path may be, contain or lie in; also the folder of a project's relative paths
	Dirs      []string // belljar's state, configuration and runtime folders
	Tiers     []string // the tiers by name, strongest first; empty: any name will do, and a project may only repeat the user's

	// Trusted says whether the project's file is trusted as it is now; nil: it is not.
	Trusted func(hash string) bool
	// Env looks up a variable of the caller; nil: there are none.
	Env func(string) (string, bool)
}

// Flags are values of the command line, as written.
type Flags struct {
	Tier, Mode                          string
	Allow, Read, Write, Hide, Env       []string
	Credential                          []string // NAME=HOST[:PORT]
	Memory, CPUs, Processes, Disk, Time string
}

// Load reads all layers and merges them. The error is a *[belljar.Error]: of
// KindUsage around [Faults] for everything that is wrong in any layer, of
// KindRefused around [*Untrusted] for a project that allows more than the user, or
// of KindUsage or KindRefused for a file that cannot be used at all.
func Load(o LoadOptions) (*Policy, error) {
	return load(o, 0)
}

// load is Load with the uid that must own the ceiling.
func load(o LoadOptions, ceilingOwner int) (*Policy, error) {
	l := loader{o: &o, paths: newPaths(&o)}
	if err := l.read(ceilingOwner); err != nil {
		return nil, err
	}
	if len(l.faults) > 0 {
		return nil, l.broken()
	}
	trusted := l.project != nil && o.Trusted != nil && o.Trusted(l.project.src.hash())
	s, err := l.merge(trusted)
	if err != nil {
		return nil, err
	}
	l.holdOwn(s)
	l.ownSources(s)
	var cuts []Cut
	if l.ceiling != nil {
		cuts = l.cap(s)
	}
	if len(l.faults) > 0 {
		return nil, l.broken()
	}
	p := build(s, l.paths, cuts)
	p.ceiling = l.ceiling
	if l.project != nil {
		p.proj = l.project.src.hash()
	}
	return p, nil
}

// A loader holds the layers while they are read and merged.
type loader struct {
	report
	o     *LoadOptions
	paths *paths

	user, project, file, flags, ceiling *document
}

func (l *loader) broken() error {
	return &belljar.Error{Op: "read policy", Kind: belljar.KindUsage, Err: l.all()}
}

// read decodes every layer.
func (l *loader) read(ceilingOwner int) error {
	var errs []error
	o := l.o
	keep := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if o.CeilingFile != "" && exists(o.CeilingFile) {
		src, err := readCeiling(o.CeilingFile, ceilingOwner)
		keep(err)
		if err == nil {
			// A ceiling's paths only limit: they may be wide, and are not mounted.
			l.ceiling = decode(src, &paths{home: l.paths.home, tiers: l.paths.tiers, wide: true}, &l.report)
		}
	}
	var err error
	l.user, err = l.open(layerUser, o.UserFile, "", false)
	keep(err)
	projectDir := o.Workspace
	if projectDir == "" && o.ProjectFile != "" {
		projectDir = filepath.Dir(o.ProjectFile)
	}
	l.project, err = l.open(layerProject, o.ProjectFile, projectDir, false)
	keep(err)
	l.file, err = l.open(layerFlag, o.PolicyFile, filepath.Dir(o.PolicyFile), true)
	keep(err)
	l.flags = decodeFlags(o, l.paths, &l.report)
	return errors.Join(errs...)
}

// open reads and decodes one file; a file that is not there is no layer, unless it must be.
func (l *loader) open(layer, name, dir string, must bool) (*document, error) {
	if name == "" {
		return nil, nil
	}
	data, _, err := readFile(name, layer != layerProject)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return nil, nil
	}
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		hint := ""
		if errors.Is(err, fs.ErrPermission) {
			hint = "let this user read it"
		}
		return nil, &belljar.Error{Op: "read policy", ID: name, Kind: belljar.KindUsage, Err: err, Hint: hint}
	}
	if dir != "" {
		if dir, err = filepath.Abs(dir); err != nil {
			return nil, &belljar.Error{Op: "read policy", ID: name, Kind: belljar.KindUsage, Err: err}
		}
	}
	return decode(newSource(layer, name, dir, data), l.paths, &l.report), nil
}

// merge builds the state from the layers, and refuses a project that widens it.
func (l *loader) merge(trusted bool) (*state, error) {
	s := newState()
	s.tiers = l.o.Tiers
	l.presets(s, trusted)
	mergeDocument(s, l.user)
	full := s
	if l.project != nil {
		full = s.clone() // what there is without the project
		mergeDocument(full, l.file)
		mergeDocument(full, l.flags)
		full.checkCredentials(&l.report)
		full.checkHeaders(&l.report)
	}
	switch {
	case l.project == nil:
	case trusted:
		l.onlyUsed(full)
		mergeDocument(s, l.project)
	default:
		var r report
		tighten(s, full, l.project, &r)
		if len(r.faults) > 0 {
			return nil, &belljar.Error{
				Op: "use the project's policy", Kind: belljar.KindRefused,
				Err:  &Untrusted{File: l.project.src.file, Hash: l.project.src.hash(), Faults: r.all()},
				Hint: "read the file, then trust it as it is now: belljar trust",
			}
		}
	}
	mergeDocument(s, l.file)
	mergeDocument(s, l.flags)
	if l.project == nil {
		s.checkCredentials(&l.report)
		s.checkHeaders(&l.report)
	}
	return s, nil
}

// onlyUsed refuses a trusted project's credentials that the user does not have: no
// project says where a value comes from, not even by leaving it out.
func (l *loader) onlyUsed(full *state) {
	for _, i := range l.project.credentials.items {
		if _, ok := full.credential(i.value.Name); !ok {
			l.add(i.mark, "credentials."+i.value.Name, "a flag gives it: --credential "+i.value.Name+"=HOST",
				"a project may only use credentials that the user's policy has")
		}
	}
}

// presets merges the presets that the layers ask for, the agent's first.
func (l *loader) presets(s *state, trusted bool) {
	if name, ok := PresetFor(l.o.Command); ok {
		mergePreset(s, name, commandMark(l.o.Command))
	}
	docs := []*document{l.user}
	if trusted {
		docs = append(docs, l.project)
	}
	for _, d := range append(docs, l.file, l.flags) {
		if d == nil {
			continue
		}
		for _, i := range d.extends.items {
			mergePreset(s, i.value, i.mark)
		}
	}
}

func mergeDocument(s *state, d *document) {
	if d == nil {
		return
	}
	for _, k := range keys() {
		k.rule.merge(s, d)
	}
}

func tighten(s, full *state, d *document, r *report) {
	for _, k := range keys() {
		k.rule.tighten(s, full, d, r)
	}
	if s.work.over {
		r.add(mark{src: d.src}, "", "fewer patterns, with fewer stars", "its patterns take too long to compare with the user's policy, so that some count as not covered")
	}
}

// cap cuts the state to the ceiling.
func (l *loader) cap(s *state) []Cut {
	var cuts []Cut
	cut := func(what string, by mark) { cuts = append(cuts, Cut{what, by.origin()}) }
	for _, k := range keys() {
		k.rule.limit(s, l.ceiling, &l.report, cut)
	}
	return slices.Clip(cuts)
}

// readCeiling reads the organisation's file and refuses it when anybody but its
// owner could have written it.
func readCeiling(name string, uid int) (*source, error) {
	refuse := func(err error) error {
		return &belljar.Error{
			Op: "read the organisation's ceiling", ID: name, Kind: belljar.KindRefused, Err: err,
			Hint: "as root: chown root:root FILE and its folder, chmod go-w both",
		}
	}
	data, fi, err := readFile(name, false)
	if err != nil {
		return nil, refuse(err)
	}
	dir, err := statDir(filepath.Dir(name))
	if err != nil {
		return nil, refuse(err)
	}
	for _, i := range []fs.FileInfo{fi, dir} {
		if err := checkOwner(i, uid); err != nil {
			return nil, refuse(err)
		}
	}
	return newSource(layerCeiling, name, "", data), nil
}

// checkOwner refuses what belongs to somebody else or what others may write to.
func checkOwner(fi fs.FileInfo, uid int) error {
	if u, ok := owner(fi); !ok || u != uid {
		return fmt.Errorf("%s does not belong to root", fi.Name())
	}
	if fi.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s can be written to by others (mode %v)", fi.Name(), fi.Mode().Perm())
	}
	return nil
}
