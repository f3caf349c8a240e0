package workspace

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/workspace/gitwrite"
	"github.com/belljar-dev/belljar/workspace/rules"
)

// maxCommitted is the largest file that is committed.
const maxCommitted = 64 << 20

// Commit commits what the outcomes of an apply say has landed in the project, and
// nothing else: git is not run, and no hook or filter. A file that is not any more what
// landed is left out.
func (p Project) Commit(outcomes []Outcome, o CommitOptions) (Commit, error) {
	host, err := unix.Open(p.Dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return Commit{}, commitError(p, err)
	}
	t := &tree{host: host}
	defer func() { _ = unix.Close(host) }()
	skipped := map[string]string{}
	var files []gitwrite.File
	for _, out := range outcomes {
		c := out.Change
		if out.Status != Applied || !c.inProject || inGit(c.Path) || c.Kind == KindDir && c.Op != OpDelete {
			continue
		}
		f := gitwrite.File{Path: c.Path}
		if c.Op != OpDelete {
			var ok bool
			if f, ok = t.committed(c.Path, out.after); !ok {
				skipped[c.Path] = "it is not any more what was applied, or too large"
				continue
			}
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return Commit{Skipped: skipped}, nil
	}
	r, err := gitwrite.Commit(gitwrite.Options{Dir: p.Dir, Files: files, Message: o.Message, Name: o.Name, Email: o.Email, Time: o.Time})
	for path, why := range r.Skipped {
		skipped[path] = why
	}
	if err != nil {
		return Commit{Skipped: skipped}, commitError(p, err)
	}
	return Commit{ID: r.ID, Branch: r.Branch, Skipped: skipped}, nil
}

func commitError(p Project, err error) error {
	return &belljar.Error{Op: "commit what was applied", ID: p.Dir, Kind: belljar.KindInternal, Err: err,
		Hint: "what was applied is in the project; commit it yourself, or take it back with belljar undo"}
}

func inGit(rel string) bool {
	for part := range strings.SplitSeq(rel, "/") {
		if rules.IsDotGit(part) {
			return true
		}
	}
	return false
}

// committed reads what landed, and checks that it is that.
func (t *tree) committed(rel string, after *state) (gitwrite.File, bool) {
	f := gitwrite.File{Path: rel}
	if after == nil {
		return f, false
	}
	if after.kind() == KindSymlink {
		f.Mode, f.Data = gitwrite.ModeLink, after.Target
		now, err := t.now(rel)
		return f, err == nil && after.same(now)
	}
	fd, err := t.openHost(rel, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK)
	if err != nil {
		return f, false
	}
	file := os.NewFile(uintptr(fd), rel)
	defer func() { _ = file.Close() }()
	f.Data, err = io.ReadAll(io.LimitReader(file, maxCommitted+1))
	sum := sha256.Sum256(f.Data)
	f.Mode = gitwrite.ModeFile
	if after.Mode&0o100 != 0 {
		f.Mode = gitwrite.ModeExec
	}
	return f, err == nil && len(f.Data) <= maxCommitted && hex.EncodeToString(sum[:]) == after.Sum
}
