package idmap

import "syscall"

// A Map says which single host identity is which identity inside.
type Map struct {
	HostUID, HostGID int
	UID, GID         int
}

// Attr is what a process needs that is to become the first one of a user
// namespace: m is mapped, the flags name further namespaces, and caps are kept
// across its execve.
func Attr(m Map, flags uintptr, caps []uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | flags,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: m.UID, HostID: m.HostUID, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: m.GID, HostID: m.HostGID, Size: 1}},
		AmbientCaps: caps,
	}
}
