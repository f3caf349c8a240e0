package view

import (
	"io"
	"os"
	"path"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/workspace/gitindex"
	"github.com/belljar-dev/belljar/workspace/rules"
	"golang.org/x/sys/unix"
)

// noteTarget completes the event of a rename by what its target is.
func (t *tree) noteTarget(e *belljar.FileEvent, m *move) {
	v := m.verdict
	if m.hold != "" {
		e.Verdict, e.Class, e.Reason = verdictHold, string(v.Class), m.hold
		if m.forged {
			e.Class = string(rules.GitConfig)
		}
		return
	}
	if v.Kind != rules.Pass {
		e.Verdict, e.Class, e.Reason = verdictHold, string(v.Class), v.Reason
		return
	}
	if e.Class == "" && v.Class != "" {
		e.Class, e.Reason = string(v.Class), v.Reason
	}
}

// maxLinks bounds the entries that are looked at before a directory is moved up.
const maxLinks = 20000

// linksStay is EXDEV when a directory that moves towards the root holds a symbolic
// link that would then lead out of the tree; mv copies, and each link is judged.
func (t *tree) linksStay(m *move) error {
	up := strings.Count(m.from.rel, "/") - strings.Count(m.to.rel, "/")
	if up <= 0 {
		return nil
	}
	left := maxLinks
	return t.linksBelow(m.dp.lower, m.old, m.to.rel, &left)
}

func (t *tree) linksBelow(dir int, name, as string, left *int) error {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ents, err := readDir(fd)
	if err != nil {
		return err
	}
	for _, e := range ents {
		if *left--; *left < 0 {
			return unix.EXDEV
		}
		switch e.Mode {
		case unix.S_IFDIR:
			if err := t.linksBelow(fd, e.Name, path.Join(as, e.Name), left); err != nil {
				return err
			}
		case unix.S_IFLNK:
			b := make([]byte, unix.PathMax)
			n, err := unix.Readlinkat(fd, e.Name, b)
			if err != nil || rules.LinkLeaves(as, string(b[:n])) {
				return unix.EXDEV
			}
		}
	}
	return nil
}

// checkLocked reads the file that git is about to put in the place of a HEAD, an
// index or packed-refs. Nobody may write to it from here on: what is checked is what
// arrives. It returns why the file must stay private, or "".
func (t *tree) checkLocked(m *move) string {
	t.quiesce(t.kid(m.p, m.old))
	fd, err := unix.Openat(m.dp.lower, m.old, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "it cannot be read"
	}
	f := os.NewFile(uintptr(fd), m.old)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Ino != m.from.st.Ino || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return "it is not the file that it was"
	}
	switch name := strings.ToLower(m.new); {
	case name == "head":
		err = gitindex.CheckHead(f, t.objectFormat(m.q, m.dq))
	case name == "packed-refs":
		err = gitindex.CheckPackedRefs(f, st.Size)
	case name == "index", strings.HasPrefix(name, "sharedindex."):
		err = gitindex.CheckFormat(f, st.Size, t.objectFormat(m.q, m.dq))
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// maxConfig bounds what is read of a repository's configuration.
const maxConfig = 1 << 20

// objectFormat is what the host's configuration of the repository says; the
// sandbox cannot change that one.
func (t *tree) objectFormat(q *node, d dirs) gitindex.Format {
	t.mu.RLock()
	common := ""
	if q.parent != nil && q.parent.parent != nil && q.parent.name == "worktrees" {
		common = relLocked(q.parent.parent)
	}
	t.mu.RUnlock()
	fd, err := unix.Openat(d.lower, "config", unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil && common != "" {
		var dir int
		if dir, err = walk(t.lower, common); err == nil {
			fd, err = unix.Openat(dir, "config", unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
			unix.Close(dir)
		}
	}
	if err != nil {
		return gitindex.SHA1
	}
	f := os.NewFile(uintptr(fd), "config")
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig))
	if err != nil {
		return gitindex.SHA1
	}
	return gitindex.FormatOf(b)
}

// quiesce takes the open data away from n and waits for the requests that use it.
// The caller holds tree.shape for writing, so that no new ones begin.
func (t *tree) quiesce(n *node) {
	if n == nil {
		return
	}
	n.data.mu.Lock()
	defer n.data.mu.Unlock()
	if f := n.data.f; f != nil {
		t.files.retire(f)
		t.files.idle(f)
	}
}
