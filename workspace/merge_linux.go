package workspace

import (
	"strings"

	textlines "github.com/belljar-dev/belljar/workspace/internal/lines"
	"github.com/belljar-dev/belljar/workspace/shadow"
)

// merged is what becomes of the host's file when the sandbox's changes are made to it,
// where both changed other lines of what the sandbox began with. The base is only known
// of files of at most [shadow.MaxKept] bytes.
func (t *tree) merged(e shadow.Entry) (host, out []byte, ok bool) {
	dir, _ := splitRel(e.Path)
	if e.Kind != shadow.File || e.Base == nil || t.state(dir).InGit() || e.Size > shadow.MaxKept {
		return nil, nil, false
	}
	base, ok := t.view.BaseContent(e.Path, e.Base)
	if !ok {
		return nil, nil, false
	}
	theirs := t.hostSide(Change{Path: e.Path}, shadow.MaxKept)
	ours := t.ownSide(Change{Path: e.Path, Kind: KindFile, Size: e.Size}, shadow.MaxKept)
	for _, s := range []side{theirs, ours} {
		if s.kind != KindFile || s.unread != "" || s.size > shadow.MaxKept || binary(s.data) {
			return nil, nil, false
		}
	}
	if binary(base) {
		return nil, nil, false
	}
	l, ok := textlines.Join(lines(side{exists: true, data: base}), lines(theirs), lines(ours), maxEdits)
	return theirs.data, []byte(strings.Join(l, "")), ok
}
