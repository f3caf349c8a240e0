package userns

import (
	"os"
	"strconv"
	"strings"

	"github.com/belljar-dev/belljar"
)

// Check returns nil when nothing is known to forbid user namespaces to this
// process.
func Check() *Problem { return check("/proc") }

// Limit returns nil when the kernel's limits allow namespaces of each of the kinds,
// which are named as in user.max_net_namespaces.
func Limit(kinds ...string) *Problem { return limit(reader("/proc"), kinds...) }

// Nested returns what is wrong when this process is inside a sandbox already, of
// which no switch of the host is the remedy.
func Nested() *Problem { return nested(reader("/proc"), resolvConf) }

func reader(proc string) func(name string) (string, bool) {
	return func(name string) (string, bool) {
		b, err := os.ReadFile(proc + name)
		return strings.TrimSpace(string(b)), err == nil
	}
}

// nested knows a sandbox by two marks at once: no user namespaces to be had, or no
// word of any, and the gateway as the first resolver.
func nested(read func(string) (string, bool), resolver string) *Problem {
	if v, ok := read("/sys/user/max_user_namespaces"); ok && v != "0" {
		return nil
	}
	b, err := os.ReadFile(resolver)
	if err != nil || !strings.HasPrefix(string(b), "nameserver "+belljar.GatewayIPv4.String()+"\n") {
		return nil
	}
	return &Problem{"this is the inside of a sandbox, and nothing inside may make another", "run belljar on the host"}
}

const resolvConf = "/etc/resolv.conf"

func check(proc string) *Problem {
	read := reader(proc)
	if p := nested(read, resolvConf); p != nil {
		return p
	}
	if _, ok := read("/self/uid_map"); !ok {
		return &Problem{"the kernel has no user namespaces", "use a kernel with CONFIG_USER_NS"}
	}
	if p := limit(read, "user", "mnt", "pid", "net", "ipc", "uts"); p != nil {
		return p
	}
	if v, ok := read("/sys/kernel/unprivileged_userns_clone"); ok && v == "0" {
		return &Problem{
			"kernel.unprivileged_userns_clone is 0",
			"run: sudo sysctl -w kernel.unprivileged_userns_clone=1",
		}
	}
	if p := apparmor(read); p != nil {
		return p
	}
	return container(read)
}

// limit finds the first kind of which none may be made here.
func limit(read func(string) (string, bool), kinds ...string) *Problem {
	for _, n := range kinds {
		file := "/sys/user/max_" + n + "_namespaces"
		if v, ok := read(file); ok && v == "0" {
			return &Problem{
				"/proc" + file + " is 0",
				"run: sudo sysctl -w user.max_" + n + "_namespaces=15000",
			}
		}
	}
	return nil
}

// apparmor knows Ubuntu 23.10 and later: a user namespace can be made there, but
// has no capabilities unless a profile of the program allows it.
func apparmor(read func(string) (string, bool)) *Problem {
	if v, ok := read("/sys/kernel/apparmor_restrict_unprivileged_userns"); !ok || v != "1" {
		return nil
	}
	if label, ok := read("/self/attr/current"); ok && strings.Contains(label, "belljar") {
		return nil // a profile of ours, which has "userns,"
	}
	exe, err := os.Executable()
	if err != nil {
		exe = "/usr/local/bin/belljar"
	}
	profile := "abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile belljar " + exe + " flags=(unconfined) { userns, }"
	return &Problem{
		"AppArmor restricts user namespaces of ordinary programs (kernel.apparmor_restrict_unprivileged_userns is 1)",
		"run: printf '" + profile + "\\n' | sudo tee /etc/apparmor.d/belljar && sudo apparmor_parser -r /etc/apparmor.d/belljar",
	}
}

// container knows the default seccomp filter of container engines, which answers
// unshare(CLONE_NEWUSER) with EPERM unless the process has CAP_SYS_ADMIN.
func container(read func(string) (string, bool)) *Problem {
	status, ok := read("/self/status")
	if !ok {
		return nil
	}
	filtered, admin := false, false
	for line := range strings.SplitSeq(status, "\n") {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "Seccomp":
			filtered = value == "2"
		case "CapEff":
			caps, err := strconv.ParseUint(value, 16, 64)
			admin = err == nil && caps&(1<<21) != 0
		}
	}
	if !filtered || admin || !inContainer() {
		return nil
	}
	return &Problem{
		"a seccomp filter of the surrounding container is likely to refuse user namespaces",
		"start the container with --security-opt seccomp=unconfined (and --device /dev/fuse), or a profile that allows clone, unshare, mount and setns",
	}
}

func inContainer() bool {
	for _, f := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(f); err == nil {
			return true
		}
	}
	return false
}
