// Package native is the light tier: namespaces, Landlock and a system call filter
// of the host's own kernel, without root and without a helper program.
//
// # Model
//
// A sandbox is two processes beside the supervisor, and its commands:
//
//	supervisor        package sandbox; this package's [Backend] runs in it
//	├─ belljar-meter  counts what the sandbox uses (package meter)
//	└─ belljar-init   PID 1 of new user, mount, PID, network, IPC, UTS and cgroup namespaces
//	   └─ commands    confined; with a terminal or localhost rules below a guest helper
//
// belljar-init builds the root (package jail), hands the other end of the network
// interface to the gateway, gives up every capability and from then on does what
// the supervisor asks by a socket: start, signal. It reaps, and its end is the end
// of everything inside. Nothing inside can signal it to any effect, trace it, or
// read its memory, environment or descriptors.
//
// belljar-meter counts memory, processes and processor time from outside, by the
// sandbox's own process list: the supervisor, once confined, may not look at others.
//
// # Limitations
//
// Linux 5.14 on amd64 and arm64. The kernel is the host's: a flaw of it that the
// filter leaves within reach is a way out. Programs that commands start are not on
// record; a socket or FIFO of the host in a folder that the plan binds can be
// opened; the mount table names the folders of the host that are bound. See
// [Backend.Probe] for how well each requirement is held.
package native
