package worktree

import (
	"context"
	"encoding/hex"
	"slices"

	"github.com/belljar-dev/belljar/workspace/rules"
)

// A Version is a file as one side of a diff has it.
type Version struct {
	Exists bool
	Link   bool
	Module bool // another repository; Data is the name of its commit
	Perm   uint32
	Data   []byte
	Err    error // why there is no data
}

// Diff lists what the branch of the worktree in dir has changed since it was made, the
// risky first. each is called for each file with both versions and may end it. Each
// object that it reads is what its name says, so that it shows what [Merge] lands.
func Diff(ctx context.Context, src Source, dir string, judge *rules.Rules, each func(c Change, before, after Version) error) error {
	i, err := Load(dir)
	if err != nil {
		return err
	}
	in, err := openInside(ctx, dir, src.ObjectsDir())
	if err != nil {
		return err
	}
	defer in.close()
	in.hash = len(i.Base) / 2
	tip, err := i.tip(in)
	if err != nil {
		return err
	}
	base, err := hex.DecodeString(i.Base)
	if err != nil {
		return err
	}
	var trees [2]string
	for k, id := range []string{string(base), tip} {
		c, err := in.commit(id)
		if err != nil {
			return err
		}
		trees[k] = c.tree
	}
	cmp := &comparison{ctx: ctx, tree: in.tree, blob: in.blob}
	if err := cmp.compare("", trees[0], trees[1], place{state: judge.Root()}, 0); err != nil {
		return err
	}
	for _, c := range cmp.sorted() {
		if err := each(c, in.version(c.from), in.version(c.to)); err != nil {
			return err
		}
	}
	return nil
}

// commitOf reads the commit of a name in hexadecimal digits.
func (r *repo) commitOf(digits string) (*commit, error) {
	id, err := hex.DecodeString(digits)
	if err != nil {
		return nil, err
	}
	return r.commit(string(id))
}

func (r *repo) version(s side) Version {
	v := Version{Exists: s.exists(), Link: s.mode == modeLink, Perm: 0o644}
	switch {
	case !v.Exists:
		return v
	case s.mode == modeExec:
		v.Perm = 0o755
	case s.mode == modeModule:
		v.Module, v.Data = true, []byte("commit "+hex.EncodeToString([]byte(s.id))+"\n")
		return v
	}
	v.Data, v.Err = r.blob(s.id)
	return v
}

// Uncommitted names what is changed in the work tree of the worktree in dir and not
// committed to its branch, without what git ignores there, at most limit names.
func Uncommitted(ctx context.Context, src Source, dir string, judge *rules.Rules, limit int) ([]string, error) {
	i, err := Load(dir)
	if err != nil {
		return nil, err
	}
	in, err := openInside(ctx, dir, src.ObjectsDir())
	if err != nil {
		return nil, err
	}
	defer in.close()
	in.hash = len(i.Base) / 2
	tip, err := i.tip(in)
	if err != nil {
		return nil, err
	}
	c, err := in.commit(tip)
	if err != nil {
		return nil, err
	}
	tree, err := openFolder(Tree(dir))
	if err != nil {
		return nil, err
	}
	defer tree.close()
	s := &survey{ctx: ctx, in: tree, hash: in.hash, left: maxWalk, seen: map[string]bool{}}
	if s.tracked, err = in.flatten(ctx, c.tree); err != nil {
		return nil, err
	}
	base, err := in.commitOf(i.Base)
	if err != nil {
		return nil, err
	}
	first, err := in.flatten(ctx, base.tree)
	if err != nil {
		return nil, err
	}
	s.untouched = func(full string, l found) bool {
		was, ok := first[full]
		return ok && l.modified() == i.Stamp && was == s.tracked[full] && was.regular() && (l.stat.Mode&0o100 != 0) == (was.mode == modeExec)
	}
	var out []string
	s.changed = func(full string, _ side, _ found) error {
		if out = append(out, full); len(out) >= limit {
			return errEnough
		}
		return nil
	}
	root := place{state: judge.Root()}
	if err := s.walk(".", root, nil); err == errEnough {
		return out, nil
	} else if err != nil {
		return nil, err
	}
	out = append(out, s.gone(root)...)
	slices.Sort(out)
	return out[:min(len(out), limit)], nil
}
