// Package filter makes the system call filter of a sandbox that shares the host's
// kernel, as a program of classic BPF.
//
// Calls that are denied fail with an error number, so that programs take another
// way; nothing is killed. Calls that are newer than this package fail with ENOSYS,
// and so does every call of another ABI (i386, x32).
//
// # Limitations
//
// A filter sees numbers, not what pointers lead to: clone3 and io_uring, whose
// arguments lie in memory, are refused as a whole. It imports the standard library
// and x/sys only, because it runs before the rest of the program is initialised.
package filter

// Options change the filter.
type Options struct {
	// Pinned says that the processors of the sandbox were restricted: then nobody
	// may choose others.
	Pinned bool
}
