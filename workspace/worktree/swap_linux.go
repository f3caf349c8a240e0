package worktree

import "golang.org/x/sys/unix"

// exchange swaps two names of a folder in one step.
func exchange(fd int, a, b string) error {
	return unix.Renameat2(fd, a, fd, b, unix.RENAME_EXCHANGE)
}

// renameNew renames where nothing has the new name.
func renameNew(fd int, from, to string) error {
	return unix.Renameat2(fd, from, fd, to, unix.RENAME_NOREPLACE)
}
