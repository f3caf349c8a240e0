// Package worktree gives a sandbox a work tree and a repository of its own, made from
// the user's without touching it, and brings home what was committed there.
//
//	w, err := worktree.Create(ctx, worktree.CreateOptions{Source: repo, Dir: dir, Name: "fix", …})
//	got, err := worktree.Fetch(ctx, repo, dir)              // refs/heads/belljar/fix
//	res, err := worktree.Merge(ctx, worktree.MergeOptions{…}) // into the branch that is checked out
//
// # Model
//
// The folder of a worktree holds the work tree (tree) with a complete git directory,
// the shadow of its view, and caches and sessions of its own. The git directory borrows
// the objects of the user's repository, which the sandbox has read-only at [Objects];
// everything else in it is the sandbox's. It has the user's branches, tags and
// remotes' branches as they were, and remotes without what they hold of credentials.
//
// # Guarantees
//
// No program is run: no git, no hook, no filter, nothing that the repository names.
// The user's repository is read only, but for Fetch, which adds objects and moves
// one reference, and Merge, which moves the branch that is checked out.
//
// What is brought home is not trusted. Of the sandbox's repository one reference and
// the objects behind it are read, by a bounded reader that follows no link and no list
// of borrowed folders. Each object must have the name that its content gives it (with
// detection of SHA-1 collisions) and pass the checks that git makes with
// transfer.fsckObjects. Objects arrive all or none, what is needed before what needs it.
//
// A merge lands in the work tree only where that is what HEAD says; a file that was
// changed, or that git does not know, is never overwritten, and no symbolic link is
// followed. Everything is checked before anything is written; each file is old or new
// at every moment; a merge that fails midway takes back what it changed, or says that it
// could not ([ErrHalf]); and one that was killed is completed by the next one.
//
// # Limitations
//
// Files are written as they are in the repository: no filter is run (git-lfs shows its
// pointers) and no end of line is converted. Renames are not looked for: a file that
// one side moved and the other changed is a conflict. Files above 256 MiB are
// refused. Repositories that keep references in other ways than files (reftable), that
// borrow objects themselves, and split or sparse indexes are refused.
package worktree

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Objects is where a sandbox has the objects of the user's repository, read-only.
const Objects = "/run/belljar/objects"

// Names in the folder of a worktree.
const (
	treeDir     = "tree"
	shadowDir   = "shadow"
	cacheDir    = "cache"
	sessionsDir = "sessions"
	infoFile    = "worktree.json"
)

// Tree is the work tree in the folder of a worktree.
func Tree(dir string) string { return filepath.Join(dir, treeDir) }

// Shadow is the folder of what is held, in the folder of a worktree.
func Shadow(dir string) string { return filepath.Join(dir, shadowDir) }

// A Source is the user's repository: real paths, checked to belong to Project.
type Source struct {
	Project string // the work tree
	GitDir  string
	Common  string // what linked work trees share; GitDir without any
}

// ObjectsDir is the repository's folder of objects.
func (s Source) ObjectsDir() string { return filepath.Join(s.Common, "objects") }

// Info is what is known of a worktree.
type Info struct {
	Project string    `json:"project"`
	Name    string    `json:"name"`
	Branch  string    `json:"branch"` // as git branch names it
	Base    string    `json:"base"`   // the commit that it was made from, in hexadecimal digits
	From    string    `json:"from"`   // the branch that was checked out then; empty: none
	Created time.Time `json:"created"`
	// Stamp is the time of last change that its files were given: those that still have
	// it are taken for unchanged when what is not committed is listed.
	Stamp int64 `json:"stamp"`
}

// Ref is the reference of the branch.
func (i *Info) Ref() string { return headsPath + i.Branch }

// Branch is the branch of a worktree.
func Branch(name string) string { return "belljar/" + name }

// Load reads what is known of the worktree in dir; fs.ErrNotExist where there is none.
func Load(dir string) (*Info, error) {
	b, err := os.ReadFile(filepath.Join(dir, infoFile))
	if err != nil {
		return nil, err
	}
	i := new(Info)
	if err := json.Unmarshal(b, i); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, infoFile), err)
	}
	if !validRef(i.Ref()) || i.Branch != Branch(i.Name) {
		return nil, fmt.Errorf("%s names no branch of ours", filepath.Join(dir, infoFile))
	}
	return i, nil
}

// List names the worktrees in a folder of them, in the order of their names.
func List(dir string) ([]string, error) {
	es, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range es {
		if _, err := Load(filepath.Join(dir, e.Name())); err == nil {
			out = append(out, e.Name())
		}
	}
	slices.Sort(out)
	return out, nil
}

// tempName is a name that nobody guesses.
func tempName() string { return ".belljar-" + rand.Text() }

// tempLike says whether a name is one that [tempName] gives.
func tempLike(name string) bool {
	text, ok := strings.CutPrefix(name, ".belljar-")
	return ok && len(text) == len(rand.Text()) && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}
