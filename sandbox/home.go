package sandbox

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/belljar-dev/belljar"
)

// homeSource is the folder of the host behind the sandbox's HOME.
func homeSource(p *belljar.Plan) string {
	for _, m := range p.Mounts {
		if m.Kind == belljar.MountBind && m.Target == p.Identity.Home {
			return m.Source
		}
	}
	return ""
}

// privateFolders are the folders of the host that only the sandbox writes: HOME,
// what is kept of it, caches. What it writes to the project is counted by the view.
func privateFolders(p *belljar.Plan) []string {
	var out []string
	for _, m := range p.Mounts {
		if m.Kind == belljar.MountBind && m.Private && !m.ReadOnly {
			out = append(out, m.Source)
		}
	}
	return out
}

// prepareHome makes the private folders that the plan binds, and puts the preset's
// files into a HOME that does not have them yet.
func (r *run) prepareHome(home string) error {
	fail := func(p string, err error) error {
		return &belljar.Error{Op: "prepare the sandbox's HOME", ID: p, Err: err}
	}
	for _, m := range r.p.Mounts {
		if m.Kind == belljar.MountBind && !m.ReadOnly && below(m.Source, r.o.Dirs.State) {
			if err := ownFolder(m.Source); err != nil {
				return fail(m.Source, err)
			}
		}
	}
	if home == "" {
		return nil
	}
	root, err := os.OpenRoot(home)
	if err != nil {
		return fail(home, err)
	}
	defer root.Close()
	for _, f := range r.p.HomeFiles {
		if f.From != "" {
			content, ok := r.o.Files[f.From]
			if !ok {
				continue // this host has no such thing
			}
			f.Content = string(content)
		}
		removeMarked(root, f)
		// What an agent did to a kept HOME keeps browsers from working, not the run.
		if err := homeFile(root, f); err != nil && f.From == "" {
			return fail(f.Path, err)
		}
	}
	return nil
}

// homeFile writes one file of a HOME, unless it is there: what is kept from an earlier
// run are the agent's own settings.
func homeFile(root *os.Root, f belljar.HomeFile) error {
	if err := root.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return err
	}
	w, err := root.OpenFile(f.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, f.Content)
	return errors.Join(err, w.Close())
}

// maxMarked bounds a file of an earlier run that is looked at; the agent may have
// written it.
const maxMarked = 1 << 20

// removeMarked removes the file that an earlier run of ours put there.
func removeMarked(root *os.Root, f belljar.HomeFile) {
	if st, err := root.Lstat(f.Path); err != nil || !st.Mode().IsRegular() || st.Size() > maxMarked {
		return
	}
	old, err := root.ReadFile(f.Path)
	if err == nil && f.Mark != "" && bytes.Contains(old, []byte(f.Mark)) {
		_ = root.Remove(f.Path)
	}
}

// ownFolder makes a private folder, or takes back one whose mode an earlier sandbox
// changed so that nobody may enter it.
func ownFolder(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	fi, err := os.Lstat(path)
	if err != nil || fi.Mode().Perm()&0o700 == 0o700 {
		return err
	}
	if !fi.IsDir() {
		return errors.New("it is no folder")
	}
	return os.Chmod(path, fi.Mode().Perm()|0o700)
}
