package workspace

import (
	"context"
	"errors"
	"io/fs"
	"path"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/workspace/shadow"
)

// Discard forgets the changes that the paths name, everything without paths, and
// returns them. The host's files are not touched. A removal that follows from a
// folder made anew goes only together with that folder.
func (p Project) Discard(ctx context.Context, paths ...string) ([]Change, error) {
	release, err := p.alone("discard changes", shadow.Patience)
	if err != nil {
		return nil, err
	}
	defer release()
	all, err := p.Pending()
	if err != nil {
		return nil, err
	}
	chosen, err := p.choose(all, paths)
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		paths = []string{"."}
	}
	err = p.eachTree(func(t *tree) error {
		for _, a := range paths {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := t.discard(p, a, paths); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, &belljar.Error{Op: "discard changes", ID: p.Dir, Kind: belljar.KindInternal, Err: err}
	}
	return chosen, nil
}

// discard forgets what the argument names in this tree.
func (t *tree) discard(p Project, arg string, all []string) error {
	if arg == "." && !t.main && len(all) > 1 {
		return nil
	}
	probe := Change{Source: t.view.Source, inProject: t.main}
	return t.each("", func(rel string) (stop bool, err error) {
		probe.Path = rel
		if !p.selects(arg, probe) && (arg != "." || len(all) > 1) {
			return false, nil
		}
		return true, t.forget(rel)
	})
}

// each tells the shadow's entries until f wants no more of one's folder.
func (t *tree) each(dir string, f func(rel string) (stop bool, err error)) error {
	names, err := t.names(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		rel := path.Join(dir, n)
		stop, err := f(rel)
		if err != nil {
			return err
		}
		if stop {
			continue
		}
		if err := t.each(rel, f); err != nil {
			return err
		}
	}
	return nil
}

// names lists a folder of the shadow; what is none has no names.
func (t *tree) names(dir string) ([]string, error) {
	if dir != "" {
		e, err := t.view.Lookup(dir)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !isDir(e) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return t.listShadow(dir)
}
