// Package trim gives memory back that a process needed to start only: the pages of
// the program's file that it has mapped. They come back from the page cache when
// they are touched again.
//
// # Limitations
//
// Writable pages stay, since their content would be lost. It imports the standard
// library and x/sys only, because it runs in processes that start early.
package trim
