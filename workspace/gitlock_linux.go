package workspace

import (
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/workspace/rules"
)

// unlocked refuses changes of git's files while a git of the host holds the lock of one
// of them: it would write over what landed, or what landed over its work. Once looked
// at, the lock is not held: a git that begins in the middle of the apply is not kept out.
func (p Project) unlocked(chosen []Change) error {
	ofGit := func(c Change) bool { return c.Class == rules.GitData || c.Class == rules.GitConfig }
	if !slices.ContainsFunc(chosen, ofGit) {
		return nil
	}
	trees := opened{p: p}
	defer trees.close()
	for _, c := range chosen {
		if !ofGit(c) || c.Conflict != "" {
			continue
		}
		t, err := trees.of(c.Source)
		if err != nil {
			return &belljar.Error{Op: "look for locks of git", ID: c.Name(), Kind: belljar.KindInternal, Err: err}
		}
		if lock := t.lockOf(c.Path); lock != "" {
			return &belljar.Error{
				Op: "apply changes", ID: c.Name(), Kind: belljar.KindConflict, Err: errors.New("git has locked it: " + c.named(lock) + " exists"),
				Hint: "wait until git has ended; when none runs, remove the lock",
			}
		}
	}
	return nil
}

// lockOf is the lock that the host has for a file of git's, empty without one.
func (t *tree) lockOf(rel string) string {
	for _, lock := range locksOf(rel) {
		if t.exists(lock) {
			return lock
		}
	}
	return ""
}

// gitLock is lockOf, of no other file than git's. Folders have no lock.
func (t *tree) gitLock(rel string, now *state) string {
	entry := rules.File
	if now != nil {
		if entry = entryOf(now.Mode); entry == rules.Dir {
			return ""
		}
	}
	if v := t.judge(rel, entry); v.Class != rules.GitData && v.Class != rules.GitConfig {
		return ""
	}
	return t.lockOf(rel)
}

// locksOf are the names of the locks under which git changes a file of its own: that
// beside it, of a log that of its reference, of a reference also that of all packed ones.
func locksOf(rel string) []string {
	locks := []string{rel + ".lock"}
	parts := strings.Split(rel, "/")
	for i, part := range parts[:len(parts)-1] {
		dir := strings.Join(parts[:i], "/")
		switch part {
		case "logs":
			locks = append(locks, path.Join(dir, strings.Join(parts[i+1:], "/"))+".lock")
		case "refs":
			locks = append(locks, path.Join(dir, "packed-refs.lock"))
		}
	}
	return locks
}
