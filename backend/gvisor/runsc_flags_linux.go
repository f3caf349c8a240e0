package gvisor

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/runsc/config"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/internal/contract"
)

// containerID is the same in every sandbox: a sentry never knows more than one.
const containerID = "belljar"

// configFlags are the global flags of gVisor's sub-commands. Nothing of the user
// is in them.
func configFlags(o Options, dir string) []string {
	f := []string{
		"--root=" + dir,
		"--rootless",
		"--network=sandbox",
		"--platform=systrap",
		"--ignore-cgroups",
		"--host-settings=ignore",
		"--overlay2=none",
		"--directfs=true",
		"--allow-suid=false",
		"--host-uds=none",
		"--host-fifo=none",
		"--net-raw=false",
		"--app-huge-pages=false", // the memory file's blocks then are what was touched
		"--file-access=exclusive",
		"--file-access-mounts=shared",
		"--sidecar-usage-policy=" + string(config.SidecarUsageLegacyEmbedded),
		"--sidecar-release-enforcement-policy=NEVER",
		"--control-rpc-stop-timeout=2s",
		"--dcache=" + strconv.Itoa(dentryCache()),
	}
	if o.DebugDir != "" {
		f = append(f, "--debug", "--debug-log="+o.DebugDir+"/")
	}
	return f
}

// dentryCache is how many names the sentry keeps that have nothing below them. Each holds a
// descriptor of the host, and so does every folder above it, which is not counted and often
// has another one for its list: two for each name in ordinary trees, eight where each lies
// four folders deep. What is kept is let go only when something else is kept, so once the
// limit is reached every call fails with EMFILE, for good. Whoever inside makes deeper
// folders to get there harms only the sandbox.
func dentryCache() int {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 100
	}
	return int(min(max(l.Max/12, 64), 100_000))
}

// bootArgs are the sentry's flags without its descriptors.
func bootArgs(p *belljar.Plan, confs string) []string {
	mem := strconv.FormatInt(p.Limits.Memory, 10)
	return []string{
		"--setup-root=true",
		"--apply-caps=" + strconv.FormatBool(appliesCaps),
		"--bundle=/",
		"--product-name=belljar",
		"--gofer-mount-confs=" + confs,
		"--cpu-num=" + strconv.Itoa(contract.CPUs(p.Limits)),
		"--total-memory=" + mem,
		"--total-host-memory=" + mem,
	}
}

func goferArgs(confs string) []string {
	return []string{"--bundle=/", "--apply-caps=" + strconv.FormatBool(appliesCaps), "--gofer-mount-confs=" + confs}
}

// childArgs is a whole command line of a gVisor sub-command: fds name the flags
// for files 0, 1, 2… in the order in which they were sent.
func childArgs(global []string, cmd string, args, fds []string, base func(i int) int) []string {
	out := append([]string{"runsc"}, global...)
	out = append(out, cmd)
	out = append(out, args...)
	for i, name := range fds {
		name, guest, mapped := strings.Cut(name, ":")
		arg := fmt.Sprintf("--%s=%d", name, base(i))
		if mapped {
			arg += ":" + guest
		}
		out = append(out, arg)
	}
	return append(out, containerID)
}
