package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
)

// A KeptKind says what is kept.
type KeptKind string

// What outlives sandboxes, beside records and what waits.
const (
	KeptHome   KeptKind = "homes"  // HOMEs of named sandboxes
	KeptCache  KeptKind = "caches" // of tools, per project
	KeptOutput KeptKind = "output" // of detached sandboxes
)

// Kept is one thing that is kept.
type Kept struct {
	Kind    KeptKind  `json:"kind"`
	Project string    `json:"project,omitempty"` // its key in the state folder
	Name    string    `json:"name,omitempty"`    // of a HOME's sandbox; the ID of an output's
	Bytes   int64     `json:"bytes"`             // on disk
	Used    time.Time `json:"used"`              // when something in its top folder changed last
	Path    string    `json:"path"`
}

// Kept lists what is kept, with what it takes on disk. What cannot be read counts nothing.
func (d Dirs) Kept() []Kept {
	var out []Kept
	add := func(k Kept) {
		fi, err := os.Lstat(k.Path)
		if err != nil || !fi.IsDir() {
			return
		}
		k.Used, k.Bytes = fi.ModTime(), diskUse(k.Path)
		out = append(out, k)
	}
	for _, project := range folders(filepath.Join(d.State, "homes")) {
		dir := filepath.Join(d.State, "homes", project)
		for _, name := range folders(dir) {
			add(Kept{Kind: KeptHome, Project: project, Name: name, Path: filepath.Join(dir, name)})
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

// diskUse is what the tree at path takes on disk.
func diskUse(path string) int64 {
	var sum int64
	_ = filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if fi, err := e.Info(); err == nil {
			if st, ok := fi.Sys().(*syscall.Stat_t); ok {
				sum += st.Blocks * 512
			}
		}
		return nil
	})
	return sum
}

// Remove removes what is kept, unless a sandbox that runs uses it; key gives the key of a
// workspace's project.
func (d Dirs) Remove(k Kept, key func(workspace string) string) error {
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
		mine := k.Kind == KeptOutput && e.ID == k.Name || k.Kind != KeptOutput && key(e.Workspace) == k.Project && (k.Kind == KeptCache || e.Name == k.Name)
		if mine {
			return &belljar.Error{Op: "remove", ID: k.Path, Kind: belljar.KindConflict, Err: fmt.Errorf("%s runs and uses it", e.Name), Hint: "belljar stop " + e.Name}
		}
	}
	rel, err := filepath.Rel(d.State, k.Path)
	if err != nil || !filepath.IsLocal(rel) || strings.Count(rel, "/") < 1 {
		return &belljar.Error{Op: "remove", ID: k.Path, Err: errors.New("it is none of ours")}
	}
	err = removeBelow(d.State, rel)
	if k.Kind == KeptHome {
		if serr := os.Remove(k.Path + ".stand-ins"); !errors.Is(serr, os.ErrNotExist) {
			err = errors.Join(err, serr)
		}
	}
	return err
}
