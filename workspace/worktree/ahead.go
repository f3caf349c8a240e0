package worktree

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/belljar-dev/belljar/workspace/internal/objects"
)

// maxAhead bounds the commits that are counted.
const maxAhead = 10_000

// openInside opens the repository of the worktree in dir; objectsDir is the user's.
// What is in it comes from inside: an object that the user's repository has is read
// there, as [Fetch] does, and each must be what its name says.
func openInside(ctx context.Context, dir, objectsDir string) (*repo, error) {
	g := filepath.Join(Tree(dir), ".git")
	r, err := openRepo(ctx, g, g)
	if err != nil {
		return nil, err
	}
	d, err := os.OpenRoot(objectsDir)
	if err != nil {
		r.close()
		return nil, fmt.Errorf("open objects: %w", err)
	}
	r.first = objects.Open(d)
	r.first.Within(ctx)
	return r, nil
}

// tip is the commit of the branch of a worktree.
func (i *Info) tip(in *repo) (string, error) {
	id, err := in.ref(i.Ref())
	if err == nil && len(id) != len(i.Base)/2 {
		err = errors.New("it names no commit of this repository")
	}
	if err != nil {
		return "", fmt.Errorf("read the branch %s: %w", i.Branch, err)
	}
	return id, nil
}

// Ahead counts the commits of the worktree in dir that its base does not have.
// objectsDir is the folder of objects of the user's repository.
func (i *Info) Ahead(ctx context.Context, dir, objectsDir string) (int, error) {
	in, err := openInside(ctx, dir, objectsDir)
	if err != nil {
		return 0, err
	}
	defer in.close()
	tip, err := i.tip(in)
	if err != nil {
		return 0, err
	}
	base, err := hex.DecodeString(i.Base)
	if err != nil {
		return 0, err
	}
	in.hash = len(base)
	own, err := openInsideOnly(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer own.Close()
	return countNew(ctx, in, own, tip)
}

// openInsideOnly opens the objects that a worktree has of its own.
func openInsideOnly(ctx context.Context, dir string) (*objects.Store, error) {
	g := filepath.Join(Tree(dir), ".git")
	r, err := openRepo(ctx, g, g)
	if err != nil {
		return nil, err
	}
	s := r.store
	r.store = nil
	r.close()
	return s, nil
}

// countNew counts the commits behind tip that are among own, the objects that were made
// inside.
func countNew(ctx context.Context, in *repo, own *objects.Store, tip string) (int, error) {
	seen, todo, n := map[string]bool{tip: true}, []string{tip}, 0
	for len(todo) > 0 && n < maxAhead {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if err := ctx.Err(); err != nil {
			return n, err
		}
		if !own.Has(id) {
			continue
		}
		c, err := in.commit(id)
		if err != nil {
			return n, err
		}
		n++
		for _, p := range c.parents {
			if !seen[p] {
				seen[p] = true
				todo = append(todo, p)
			}
		}
	}
	return n, nil
}
