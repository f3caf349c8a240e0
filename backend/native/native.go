package native

// Name is the tier's name.
const Name = "native"

// Options change how sandboxes are built; the zero value is right for everybody
// but the developers of this package.
type Options struct {
	// Debug keeps the standard error of the sandbox's first process.
	Debug bool
}
