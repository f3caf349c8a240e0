// Package stage builds the root file system of a sandbox below one folder: a
// small tmpfs, the plan's files, directories and links in it, and kernel binds of
// the plan's paths.
//
// It runs in the first process of a sandbox's own user and mount namespace. Every
// target is resolved inside the root, so that no link leads out; every bind is
// restricted before it appears anywhere.
//
// # Limitations
//
// It imports the standard library and x/sys only, because it runs before the rest
// of the program is initialised. It needs Linux 5.12 (mount_setattr) and, for
// views, /dev/fuse. A failed build leaves its mounts to the end of the namespace.
package stage

// OpKind names what an [Op] does.
type OpKind string

// The kinds of operations.
const (
	OpDir     OpKind = "dir"     // make a directory
	OpFile    OpKind = "file"    // write Content into a new file
	OpSymlink OpKind = "symlink" // make a link with text Content
	OpBind    OpKind = "bind"    // bind Source, with all that is mounted below it
	OpSelf    OpKind = "self"    // bind the running program
	OpFuse    OpKind = "fuse"    // mount view number View and hand over its device
)

// An Op is one step in making the root. Targets are resolved inside it: no link
// leads out.
type Op struct {
	Kind     OpKind `json:"kind"`
	Target   string `json:"target"`
	Source   string `json:"source,omitempty"`
	Content  string `json:"content,omitempty"`
	Perm     uint32 `json:"perm,omitempty"`
	ReadOnly bool   `json:"ro,omitempty"`
	NoLinks  bool   `json:"nolinks,omitempty"` // Source must not lead through a symlink
	View     int    `json:"view,omitempty"`
}
