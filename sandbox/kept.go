package sandbox

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/limit"
)

// A KeptKind says what is kept.
type KeptKind string

// What outlives sandboxes, beside records and what waits.
const (
	KeptHome    KeptKind = "homes"     // HOMEs of named sandboxes
	KeptSandbox KeptKind = "sandboxes" // what can be started again, with its HOME
	KeptCache   KeptKind = "caches"    // of tools, per project
	KeptOutput  KeptKind = "output"    // of detached sandboxes
)

// Kept is one thing that is kept.
type Kept struct {
	Kind    KeptKind  `json:"kind"`
	Project string    `json:"project,omitempty"`  // its key in the state folder
	Name    string    `json:"name,omitempty"`     // of a HOME's sandbox; the ID of an output's
	Bytes   int64     `json:"bytes"`              // on disk
	AtLeast bool      `json:"at_least,omitempty"` // there is more, hidden from who counts
	Used    time.Time `json:"used"`               // when something in its top folder changed last
	Path    string    `json:"path"`
}

// Kept lists what is kept, with what it takes on disk. What cannot be read counts nothing, and
// no link is followed: an agent made what is there.
func (d Dirs) Kept() []Kept {
	var out []Kept
	add := func(k Kept) {
		fi, err := os.Lstat(k.Path)
		if err != nil || !fi.IsDir() {
			return
		}
		k.Used = fi.ModTime()
		k.Bytes, err = limit.DiskUsage(k.Path)
		k.AtLeast = err != nil
		out = append(out, k)
	}
	again := map[string]bool{} // HOMEs of sandboxes that can be started again
	recipes, _ := d.Recipes()  // belljar ps says what is wrong with one
	for _, r := range recipes {
		k := Kept{Kind: KeptSandbox, Project: ProjectKey(r.Workspace), Name: r.Name}
		k.Path = d.home(k.Project, k.Name)
		again[k.Path] = true
		before := len(out)
		if add(k); len(out) == before { // it never ran
			k.Used = r.Made
			out = append(out, k)
		}
	}
	for _, project := range folders(filepath.Join(d.State, "homes")) {
		for _, name := range folders(filepath.Join(d.State, "homes", project)) {
			if path := d.home(project, name); !again[path] {
				add(Kept{Kind: KeptHome, Project: project, Name: name, Path: path})
			}
		}
	}
	for _, project := range folders(filepath.Join(d.State, "projects")) {
		add(Kept{Kind: KeptCache, Project: project, Path: filepath.Join(d.State, "projects", project, "cache")})
	}
	for _, id := range folders(filepath.Join(d.State, "output")) {
		add(Kept{Kind: KeptOutput, Name: id, Path: d.Output(id)})
	}
	return out
}

// home is where the HOME of a named sandbox is kept.
func (d Dirs) home(project, name string) string {
	return filepath.Join(d.State, "homes", project, name)
}

// folders are the folders in dir.
func folders(dir string) []string {
	names, _ := os.ReadDir(dir) // there is none: nothing was kept
	var out []string
	for _, n := range names {
		if n.IsDir() {
			out = append(out, n.Name())
		}
	}
	return out
}

// trashDir holds what is being removed: a HOME is whole or gone, whatever ends who removes it.
const trashDir = "trash"

// Remove removes what is kept, unless a sandbox that runs uses it. Killed in the middle, a
// sandbox cannot be started again any more, and the next [Dirs.Sweep] removes the rest.
func (d Dirs) Remove(k Kept) error {
	guard, err := d.guard() // nothing starts meanwhile
	if err != nil {
		return err
	}
	defer guard.Close()
	runs, err := d.running()
	if err != nil {
		return err
	}
	for _, e := range runs {
		mine := k.Kind == KeptOutput && e.ID == k.Name || k.Kind != KeptOutput && ProjectKey(e.Workspace) == k.Project && (k.Kind == KeptCache || e.Name == k.Name)
		if mine {
			return &belljar.Error{Op: "remove", ID: k.Path, Kind: belljar.KindConflict, Err: fmt.Errorf("%s runs and uses it", e.Name), Hint: "belljar stop " + e.Name}
		}
	}
	rel, err := filepath.Rel(d.State, k.Path)
	if err != nil || !filepath.IsLocal(rel) || strings.Count(rel, "/") < 1 {
		return &belljar.Error{Op: "remove", ID: k.Path, Err: errors.New("it is none of ours")}
	}
	if k.Kind != KeptHome && k.Kind != KeptSandbox {
		return removeBelow(d.State, rel)
	}
	if err := d.removeRecipe(k.Project, k.Name); err != nil {
		return err
	}
	if err := d.discard(k.Path); err != nil {
		return err
	}
	err = d.emptyTrash()
	if serr := os.Remove(k.Path + ".stand-ins"); !errors.Is(serr, os.ErrNotExist) {
		err = errors.Join(err, serr)
	}
	return err
}

// discard moves the folder path, which is there or not, into the trash.
func (d Dirs) discard(path string) error {
	trash := filepath.Join(d.State, trashDir)
	if err := os.MkdirAll(trash, 0o700); err != nil {
		return short("make", trash, err)
	}
	err := os.Rename(path, filepath.Join(trash, rand.Text()))
	if errors.Is(err, fs.ErrPermission) { // an agent took away its mode
		if err = ownFolder(path); err == nil {
			err = os.Rename(path, filepath.Join(trash, rand.Text()))
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return short("remove", path, err)
	}
	return nil
}

// emptyTrash removes what was discarded. The caller holds the guard.
func (d Dirs) emptyTrash() error {
	names, err := os.ReadDir(filepath.Join(d.State, trashDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, n := range names {
		errs = append(errs, removeBelow(d.State, filepath.Join(trashDir, n.Name())))
	}
	return errors.Join(errs...)
}
