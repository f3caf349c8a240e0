package gvisor

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/internal/contract"
	"github.com/belljar-dev/belljar/internal/confine"
	"github.com/belljar-dev/belljar/internal/userns"
)

// Probe implements [belljar.Backend].
func (b *Backend) Probe(context.Context) (belljar.Capabilities, error) {
	c := belljar.Capabilities{Tier: Name, Usable: true, Version: version()}
	if p := problem(); p != nil {
		c.Usable, c.Reason, c.Remedy = false, p.Reason, p.Remedy
	}
	for _, r := range requirements {
		if r.Requirement == belljar.ReqView {
			r = contract.View(r)
		}
		c.Requirements = append(c.Requirements, r)
	}
	c.Requirements = append(c.Requirements, confine.Enforcement())
	return c, nil
}

// requirements say how each is held; contract.View changes one of them by what the
// host has.
var requirements = []belljar.Enforcement{
	{Requirement: belljar.ReqKernel, Level: belljar.Enforced, By: "gVisor's kernel in a process of its own; system calls never reach the host's kernel (systrap, seccomp)"},
	{Requirement: belljar.ReqReads, Level: belljar.Enforced, By: "a staged root that holds nothing but the plan, served by a gofer that has no other files"},
	{Requirement: belljar.ReqWrites, Level: belljar.Enforced, By: "recursive read-only kernel mounts below everything that the plan does not make writable"},
	{Requirement: belljar.ReqView, Level: belljar.Enforced, By: "FUSE mounted in the sandbox's own mount namespace; the real folder is not mounted"},
	{Requirement: belljar.ReqNetwork, Level: belljar.Enforced, By: "a network stack in gVisor whose only link is a socket pair to the gateway; the host's network namespace is empty"},
	{Requirement: belljar.ReqProcesses, Level: belljar.Enforced, By: "gVisor's own process table, in PID namespaces of its own"},
	{Requirement: belljar.ReqSockets, Level: belljar.Enforced, By: "host sockets and FIFOs cannot be opened through the gofer; abstract names are gVisor's own"},
	{Requirement: belljar.ReqPrivileges, Level: belljar.Enforced, By: "no capabilities inside, those of files outside; no_new_privs, set-uid ignored by gVisor, nosuid and nodev mounts"},
	{Requirement: belljar.ReqCalls, Level: belljar.Enforced, By: "gVisor's kernel answers every call; what it asks of the host's is bounded by a seccomp filter"},
	{Requirement: belljar.ReqDescriptor, Level: belljar.Enforced, By: "three pipes made by the supervisor; everything else is closed on exec"},
	{Requirement: belljar.ReqTerminal, Level: belljar.Enforced, By: "a pseudo terminal made inside, relayed"},
	{
		Requirement: belljar.ReqMemory, Level: belljar.Approximate, By: "the supervisor reads the sandbox's memory file up to fifty times a second and kills the sandbox",
		Gap: "a fast allocator may exceed the limit by what it writes in one interval",
	},
	{Requirement: belljar.ReqPids, Level: belljar.Enforced, By: "RLIMIT_NPROC of gVisor's kernel"},
	{
		Requirement: belljar.ReqCPUs, Level: belljar.Approximate, By: "processor affinity of the sentry and its threads",
		Gap: "fractions are rounded up to whole processors",
	},
	{
		Requirement: belljar.ReqDisk, Level: belljar.Approximate, By: "the supervisor counts what the view and HOME grow by",
		Gap: "a fast writer may exceed the limit by what it writes in one interval",
	},
	{Requirement: belljar.ReqFiles, Level: belljar.Enforced, By: "RLIMIT_NOFILE of gVisor's kernel"},
	{Requirement: belljar.ReqTime, Level: belljar.Enforced, By: "the supervisor ends the sandbox"},
	{Requirement: belljar.ReqExec, Level: belljar.Enforced, By: "a sink in gVisor's execve that waits until the event is taken"},
	{Requirement: belljar.ReqCommands, Level: belljar.Approximate, By: "the same sink: execve fails with EPERM, judged by the kernel's own copy of the arguments",
		Gap: "a program is what it is called: a copy under another name, and what an interpreter does by itself, are not recognised"},
	{Requirement: belljar.ReqDenied, Level: belljar.None, Gap: "files of programs are not covered: rules are held by asking before each program (commands)"},
	{Requirement: belljar.ReqPrograms, Level: belljar.Enforced, By: "gVisor notes the file, the start and the mappings of the process that connects; no memory of another is written"},
	{Requirement: belljar.ReqDeath, Level: belljar.Enforced, By: "all processes live in one PID namespace whose first process watches the supervisor by a socket"},
}

// problem finds what makes the tier unusable here.
func problem() *userns.Problem {
	if a := runtime.GOARCH; a != "amd64" && a != "arm64" {
		return &userns.Problem{Reason: "gVisor does not know the architecture " + a, Remedy: "use an amd64 or arm64 machine"}
	}
	if size := os.Getpagesize(); size != 4096 {
		return &userns.Problem{Reason: "the kernel's pages are not 4 KiB", Remedy: "use a kernel with 4 KiB pages"}
	}
	if p := userns.Check(); p != nil {
		return p
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil && strings.Contains(strings.ToLower(unix.ByteSliceToString(u.Release[:])), "-microsoft") && !has("/proc/self/ns/user") {
		return &userns.Problem{Reason: "this is WSL 1, which has no Linux kernel", Remedy: "run: wsl --set-version <distribution> 2"}
	}
	if _, err := unix.OpenTree(-1, "", 0); err == unix.ENOSYS {
		return &userns.Problem{Reason: "the kernel is older than 5.12", Remedy: "use Linux 5.12 or later"}
	}
	return nil
}

func has(file string) bool { return unix.Access(file, unix.F_OK) == nil }

// version is gVisor's version as linked, with its date.
var version = sync.OnceValue(func() string {
	const module = "gvisor.dev/gvisor"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, d := range info.Deps {
		if d.Path != module {
			continue
		}
		// v0.0.0-20260905035102-160fafc42237: a pseudo version carries its date.
		parts := strings.Split(d.Version, "-")
		if len(parts) == 3 && len(parts[1]) == 14 {
			day := parts[1]
			return "gVisor " + parts[2] + " of " + day[:4] + "-" + day[4:6] + "-" + day[6:8]
		}
		return "gVisor " + d.Version
	}
	return "gVisor, version not recorded in this build"
})
