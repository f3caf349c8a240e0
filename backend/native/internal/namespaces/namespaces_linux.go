package namespaces

import (
	"syscall"

	"github.com/belljar-dev/belljar/internal/ahead"
	"github.com/belljar-dev/belljar/internal/idmap"
)

// Capabilities of capabilities(7) in its own user namespace that building takes. None
// is left when the first command starts.
const (
	capSetpcap     = 8
	capNetAdmin    = 12
	capNetRaw      = 13
	capSysAdmin    = 21
	capSysResource = 24
)

// Flags are the namespaces that are made beside the user namespace, as for clone(2).
// A kernel without cgroups has none of them to hide.
func Flags() uintptr {
	flags := uintptr(syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | syscall.CLONE_NEWNET)
	if syscall.Access("/proc/self/ns/cgroup", 0) == nil {
		flags |= syscall.CLONE_NEWCGROUP
	}
	return flags
}

// Attr is how the first process is started, by a thread that lives as long as it.
func Attr(m idmap.Map, flags uintptr) *syscall.SysProcAttr {
	attr := idmap.Attr(m, flags, []uintptr{capSysAdmin, capNetAdmin, capNetRaw, capSetpcap, capSysResource})
	attr.Setsid = true
	attr.Pdeathsig = syscall.SIGKILL
	return attr
}

// Procs is enough for two things at a time, the network and the root; a process that can do
// more at once makes more threads.
const Procs = "GOMAXPROCS=2"

// A born process is the first one of a sandbox that is not known yet.
type born struct {
	*ahead.Child
	pidfd int
	ids   idmap.Map
}

var early = start()

func start() *born {
	if !ahead.Flag("--tier", "native") {
		return nil
	}
	b := &born{pidfd: -1, ids: idmap.Map{HostUID: syscall.Getuid(), HostGID: syscall.Getgid()}}
	if !ahead.StartedAsRoot() {
		b.ids.UID, b.ids.GID = b.ids.HostUID, b.ids.HostGID
	}
	attr := Attr(b.ids, Flags())
	attr.PidFD = &b.pidfd // set when the child is started
	b.Child = ahead.Start(ahead.Process{
		Argv0: Argv0, Attr: attr, Env: []string{Procs},
		Before: func() { ahead.CoarseTimers() }, // the thread does nothing else
	})
	return b
}

// Take hands out the first process that was born ahead with these identities: see
// [ahead.Child.Take]; pidfd refers to it.
func Take(m idmap.Map) (pid, pidfd, socket int, ok bool) {
	if early == nil {
		return 0, -1, -1, false
	}
	if early.ids != m {
		early.Discard()
		return 0, -1, -1, false
	}
	pid, socket, ok = early.Take()
	return pid, early.pidfd, socket, ok
}
