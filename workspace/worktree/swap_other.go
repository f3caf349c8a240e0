//go:build !linux

package worktree

import "golang.org/x/sys/unix"

func exchange(int, string, string) error { return unix.ENOSYS }

func renameNew(int, string, string) error { return unix.ENOSYS }
