package gitwrite

import (
	"errors"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/index"

	"github.com/belljar-dev/belljar/workspace/gitindex"
)

// maxBelow bounds the files of a folder that is removed or replaced.
const maxBelow = 200_000

// checkFlags refuses an index with flags that would be lost when it is written anew.
func (c *commit) checkFlags() error {
	f, err := c.git.Open("index")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	name, err := gitindex.AssumedUnchanged(f, st.Size())
	if err == nil && name != "" {
		err = errors.New("the index has files that git is told to assume unchanged, which would be forgotten; commit it yourself, or see git update-index --no-assume-unchanged")
	}
	return err
}

// staged says whether the index and the last commit differ about the place of f, above
// or below it: then a commit of f would have more, or lose what was staged.
func (c *commit) staged(f File, old map[string]entry, byPath map[string]*index.Entry) string {
	for _, dir := range above(f.Path)[1:] {
		if e := byPath[dir]; e != nil && !unstaged(e, old[dir]) {
			return "you have staged another thing at a folder above"
		}
	}
	was, tracked := old[f.Path]
	switch e := byPath[f.Path]; {
	case e != nil && !unstaged(e, was):
		return "you have staged it"
	case e != nil && e.SkipWorktree:
		return "git is told not to check it out"
	case e == nil && tracked && was.mode != modeDir:
		return "you have staged its removal"
	}
	return c.stagedBelow(f.Path, was, byPath)
}

// unstaged says that an entry of the index is what the commit has.
func unstaged(e *index.Entry, was entry) bool {
	return uint32(e.Mode) == was.mode && string(e.Hash[:]) == was.id
}

// stagedBelow is staged for what lies in a folder that goes as a whole.
func (c *commit) stagedBelow(rel string, was entry, byPath map[string]*index.Entry) string {
	below := map[string]entry{}
	if was.mode == modeDir {
		if err := c.filesBelow(was.id, rel, below); err != nil {
			return "what the last commit has in it cannot be read"
		}
	}
	for _, e := range c.belowIndex(rel) {
		name := e.Name
		if byPath[name] == nil {
			continue // went with another file of this commit
		}
		if !unstaged(e, below[name]) {
			return "you have staged something in it"
		}
		if e.SkipWorktree {
			return "git is told not to check out something in it"
		}
		delete(below, name)
	}
	for name := range maps.Keys(below) {
		if byPath[name] == nil && !c.goes(name) {
			return "you have staged the removal of something in it"
		}
	}
	return ""
}

// belowIndex are the entries that the index had below rel when it was read.
func (c *commit) belowIndex(rel string) []*index.Entry {
	prefix := rel + "/"
	i, _ := slices.BinarySearchFunc(c.index.Entries, prefix, func(e *index.Entry, p string) int { return strings.Compare(e.Name, p) })
	n := i
	for n < len(c.index.Entries) && strings.HasPrefix(c.index.Entries[n].Name, prefix) {
		n++
	}
	return c.index.Entries[i:n]
}

// goes says that the index had name: it went with another file of this commit.
func (c *commit) goes(name string) bool {
	_, ok := slices.BinarySearchFunc(c.index.Entries, name, func(e *index.Entry, p string) int { return strings.Compare(e.Name, p) })
	return ok
}

// filesBelow lists all that is not a folder in a tree.
func (c *commit) filesBelow(id, at string, into map[string]entry) error {
	list, err := c.objects.Tree(id)
	if err != nil {
		return err
	}
	for _, e := range list {
		name := path.Join(at, e.Name)
		if e.Mode == modeDir {
			if strings.Count(name, "/") > 1000 {
				return errors.New("too deep")
			}
			if err := c.filesBelow(e.ID, name, into); err != nil {
				return err
			}
			continue
		}
		if into[name] = (entry{e.Mode, e.ID}); len(into) > maxBelow {
			return errors.New("too many files")
		}
	}
	return nil
}
