// Package gvisor is the tier that gives every sandbox a kernel of its own: gVisor,
// linked into this binary, without root and without a helper installed anywhere.
//
// # Model
//
// A sandbox is three processes beside the supervisor, all of this one program:
//
//	supervisor            package sandbox; this package's [Backend] runs in it
//	└─ belljar-launcher   PID 1 of new user, mount, PID, network, IPC and UTS namespaces
//	   ├─ belljar-gofer   opens host files below the staged root, nothing else exists for it
//	   └─ belljar-sentry  the kernel; the command and all its children run in it
//
// The launcher stages the root: a read-only tmpfs with the plan's files and links,
// kernel binds of the plan's paths, and one FUSE mount per view. The sentry is
// started at once but waits for the first command, which becomes its init process;
// descriptors, arguments and the specification reach it by a socket, never by argv.
// Control goes through the sentry's own RPC; packets through one socket pair; every
// execve through a sink inside the sentry that blocks until it is on record.
//
// What only a process inside can do, a small guest helper does (this program again,
// bound read-only at /run/belljar/guest): a pseudo terminal, and listeners for
// ports of the host's loopback that the policy names. It is started only then. The
// sentry connects most sockets to such a port straight to the gateway; the listeners
// hold the ports and take the rest.
//
// gVisor's Go packages have no stable interface: everything that touches them is in
// the files runsc_*.go, and the version is pinned in go.mod.
//
// # Limitations
//
// A build with cgo works, but starts slower and keeps sentry and gofer less well
// confined (see appliesCaps); releases are built without.
//
// Linux on amd64 and arm64 only. Memory and processes are counted by the
// supervisor and by gVisor's own RLIMIT_NPROC, not by cgroups: see [Backend.Probe]
// for how well each requirement is held. A hostile host kernel, side channels and
// flaws of gVisor itself are not stopped.
package gvisor
