package native

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/internal/contract"
	"github.com/belljar-dev/belljar/internal/confine"
	"github.com/belljar-dev/belljar/internal/userns"
)

// Probe implements [belljar.Backend].
func (b *Backend) Probe(context.Context) (belljar.Capabilities, error) {
	c := belljar.Capabilities{Tier: Name, Usable: true, Version: "Linux " + release()}
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
	{
		Requirement: belljar.ReqKernel, Level: belljar.None,
		Gap: "the kernel is the host's: a flaw of it that the system call filter leaves within reach is a way out", Remedy: "use --tier gvisor",
	},
	{Requirement: belljar.ReqReads, Level: belljar.Enforced, By: "a root of its own that holds nothing but the plan, the old root detached; a masked /proc; a UTS namespace and a cgroup namespace"},
	{Requirement: belljar.ReqWrites, Level: belljar.Enforced, By: "recursive read-only mounts below everything that the plan does not make writable; Landlock as the second line"},
	{Requirement: belljar.ReqView, Level: belljar.Enforced, By: "FUSE mounted in the sandbox's own mount namespace; the real folder is not mounted"},
	{Requirement: belljar.ReqNetwork, Level: belljar.Enforced, By: "a network namespace whose only interface ends at the gateway"},
	{Requirement: belljar.ReqProcesses, Level: belljar.Enforced, By: "a PID namespace with a /proc of its own, and an IPC namespace; Landlock as the second line"},
	{
		Requirement: belljar.ReqSockets, Level: belljar.Approximate, By: "network and mount namespaces: abstract sockets and the project's are out of reach",
		Gap: "a socket or FIFO that a host program puts into a folder that the plan binds can be opened",
	},
	{Requirement: belljar.ReqPrivileges, Level: belljar.Enforced, By: "no capabilities (bounding set empty), no_new_privs, nosuid and nodev mounts"},
	{
		Requirement: belljar.ReqCalls, Level: belljar.Enforced,
		By: "a seccomp filter refuses io_uring, BPF, perf, userfaultfd, keys, modules, namespaces, mounts, rare sockets and what is newer than it; no further namespaces besides (user.max_*_namespaces are 0)",
	},
	{Requirement: belljar.ReqDescriptor, Level: belljar.Enforced, By: "three pipes made by the supervisor; everything else is closed on exec"},
	{Requirement: belljar.ReqTerminal, Level: belljar.Enforced, By: "a pseudo terminal made inside, relayed; TIOCSTI is refused"},
	{
		Requirement: belljar.ReqMemory, Level: belljar.Approximate, By: "the supervisor counts the sandbox's memory up to two hundred times a second and kills the sandbox",
		Gap: "a fast allocator may exceed the limit by what it writes in one interval; memory files that are nowhere but on their way between two sockets are not counted",
	},
	{Requirement: belljar.ReqPids, Level: belljar.Enforced, By: "RLIMIT_NPROC in a user namespace of its own"},
	{
		Requirement: belljar.ReqCPUs, Level: belljar.Approximate, By: "processor affinity, which the filter keeps",
		Gap: "fractions are rounded up to whole processors",
	},
	{
		Requirement: belljar.ReqDisk, Level: belljar.Approximate, By: "the supervisor counts what the view and HOME grow by",
		Gap: "a fast writer may exceed the limit by what it writes in one interval",
	},
	{Requirement: belljar.ReqFiles, Level: belljar.Enforced, By: "RLIMIT_NOFILE"},
	{Requirement: belljar.ReqTime, Level: belljar.Enforced, By: "the supervisor ends the sandbox"},
	{
		Requirement: belljar.ReqExec, Level: belljar.None,
		Gap: "commands that belljar starts are on record, programs that those start are not", Remedy: "use --tier gvisor",
	},
	{
		Requirement: belljar.ReqCommands, Level: belljar.None,
		Gap: "programs are started by the host's kernel, which asks nobody: rules that ask, or are about arguments, do not hold", Remedy: "use --tier gvisor",
	},
	{
		Requirement: belljar.ReqDenied, Level: belljar.Approximate, By: "an empty file that nobody may read or execute is mounted over each file of a program that a rule denies whole",
		Gap: "another program that does the same, a copy under another name and a program that the host installs anew meanwhile are not covered", Remedy: "use --tier gvisor",
	},
	{
		Requirement: belljar.ReqPrograms, Level: belljar.None,
		Gap: "the host's kernel does not tell which program opened a connection, so no credential can be for some programs (such a one would be put into nothing)", Remedy: "use --tier gvisor",
	},
	{Requirement: belljar.ReqDeath, Level: belljar.Enforced, By: "all processes live in one PID namespace whose first process watches the supervisor by a socket"},
}

// problem finds what makes the tier unusable here.
func problem() *userns.Problem {
	if a := runtime.GOARCH; a != "amd64" && a != "arm64" {
		return &userns.Problem{Reason: "the system call filter does not know the architecture " + a, Remedy: "use an amd64 or arm64 machine"}
	}
	if p := userns.Nested(); p != nil {
		return p
	}
	if major, minor := parseVersion(release()); major < 5 || major == 5 && minor < 14 {
		return &userns.Problem{Reason: "the kernel is older than 5.14, where processes are counted per user namespace", Remedy: "use Linux 5.14 or later"}
	}
	const cgroups = "/proc/sys/user/max_cgroup_namespaces"
	if b, err := os.ReadFile(cgroups); err == nil && strings.TrimSpace(string(b)) == "0" {
		return &userns.Problem{Reason: cgroups + " is 0", Remedy: "run: sudo sysctl -w user.max_cgroup_namespaces=15000"}
	}
	return userns.Check()
}

func release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// parseVersion reads the first two numbers of a kernel's release.
func parseVersion(release string) (major, minor int) {
	a, rest, _ := strings.Cut(release, ".")
	b, _, _ := strings.Cut(rest, ".")
	digits := func(s string) int {
		end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
		if end < 0 {
			end = len(s)
		}
		n, _ := strconv.Atoi(s[:end])
		return n
	}
	return digits(a), digits(b)
}
