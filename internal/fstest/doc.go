// Package fstest is a conformance suite for file systems: what programs expect
// of a directory on Linux, as cases with names.
//
// [Run] tries every case in a directory of its own below the one it is given;
// each holds on a plain directory of the host, which the package's own test
// shows. [Differential] does the same random operations in two directories and
// compares every result, every error and the trees that remain. [Sequences] are
// random as well, and are done apart: in a sandbox by a process inside, in a plain
// copy by the test.
//
//	func TestView(t *testing.T) { fstest.Run(t, mountpoint, fstest.Options{}) }
//
// Cases of several processes need a program to start: its main, or TestMain,
// calls [Child] first, and Options.Exe names it.
//
// # Limitations
//
// Linux only. Cases for which the kernel permits a refusal (hard links, extended
// attributes, O_TMPFILE) accept that refusal and nothing else. What only root
// may do is not tried; what root may always do is left out for root.
package fstest
