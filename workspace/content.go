package workspace

import (
	"io"

	"github.com/belljar-dev/belljar/workspace/rules"
)

// A Content is one version of a file that lies in no work tree, as a commit has it.
type Content struct {
	Exists bool
	Kind   FileKind
	Perm   uint32
	Data   []byte // content, or the text of a link
	Unread string // why there is no data
}

func (c Content) side() side {
	return side{kind: c.Kind, exists: c.Exists, perm: c.Perm, data: c.Data, size: int64(len(c.Data)), unread: c.Unread}
}

// DiffContents prints what became of the file at path. The output is safe for a terminal.
func DiffContents(w io.Writer, path string, class rules.Class, reason string, before, after Content, o DiffOptions) error {
	c := Change{Path: path, Op: OpModify, Kind: after.Kind, Class: class, Reason: reason, Size: int64(len(after.Data)), Perm: after.Perm, inProject: true}
	switch {
	case !before.Exists:
		c.Op = OpAdd
	case !after.Exists:
		c.Op, c.Kind = OpDelete, before.Kind
	case string(before.Data) == string(after.Data) && before.Kind == after.Kind:
		c.Op = OpMode
	}
	return writeChange(w, c, before.side(), after.side(), o)
}
