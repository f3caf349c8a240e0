package gitcommits

import (
	"fmt"

	"github.com/belljar-dev/belljar/workspace/internal/objects"
)

// Objects reads trees and commits of a repository without running git. It is not safe
// for concurrent use.
type Objects struct{ s *objects.Store }

// OpenObjects opens the objects of a git directory and of those that it borrows from.
// The caller closes it.
func OpenObjects(gitDir string) (*Objects, error) {
	s, err := openStore(Repository{GitDir: gitDir})
	if err != nil {
		return nil, err
	}
	return &Objects{s}, nil
}

// Close releases what is open.
func (o *Objects) Close() { o.s.Close() }

// read reads an object of a type and checks that it is what its name says.
func (o *Objects) read(id string, want objects.Type, limit int64) ([]byte, error) {
	typ, b, err := o.s.Object(id, limit)
	switch {
	case err != nil:
		return nil, err
	case typ != want:
		return nil, fmt.Errorf("it is no %s", want)
	case objects.Sum(typ, b, len(id)) != id:
		return nil, objects.ErrDamaged
	}
	return b, nil
}

// A TreeEntry is one name in a tree.
type TreeEntry struct {
	Name string
	Mode uint32
	ID   string // raw
}

// Tree lists the tree with the raw id.
func (o *Objects) Tree(id string) ([]TreeEntry, error) {
	b, err := o.read(id, objects.Tree, objects.MaxTree)
	if err != nil {
		return nil, fmt.Errorf("read tree %x: %w", id, err)
	}
	es, err := parseTree(b, len(id))
	if err != nil {
		return nil, fmt.Errorf("read tree %x: %w", id, err)
	}
	out := make([]TreeEntry, len(es))
	for i, e := range es {
		out[i] = TreeEntry{e.name, e.mode, e.id}
	}
	return out, nil
}

// TreeOf is the raw id of the tree of the commit with the raw id.
func (o *Objects) TreeOf(commit string) (string, error) {
	b, err := o.read(commit, objects.Commit, objects.MaxCommit)
	if err != nil {
		return "", fmt.Errorf("read commit %x: %w", commit, err)
	}
	if tree, _ := parseCommit(b); len(tree) == len(commit) {
		return tree, nil
	}
	return "", fmt.Errorf("read commit %x: %w", commit, objects.ErrDamaged)
}
