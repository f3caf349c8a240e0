package gvisor

// Name is the tier's name.
const Name = "gvisor"

// Options change how sandboxes are built; the zero value is right for everybody
// but the developers of this package.
type Options struct {
	// DebugDir is a folder for gVisor's own logs, which show everything that happens
	// inside; empty for none.
	DebugDir string
}
