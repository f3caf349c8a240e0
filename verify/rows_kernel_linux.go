package verify

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"github.com/belljar-dev/belljar"
	"golang.org/x/sys/unix"
)

// kernelRows are attacks on the kernel below the sandbox.
func kernelRows() []row {
	rows := slices.Concat(procRows(), objectRows(), namespaceRows(), []row{
		{id: "kernel/keyctl", name: "add a key to the kernel's keyring", req: belljar.ReqCalls, own: true, judge: judgement{held: keyHeld}, do: func(a *attacker) (bool, string) {
			nonce, err := readSome(a.path(nonceName))
			if err != nil {
				return false, err.Error()
			}
			_, err = unix.AddKey("user", "belljar-"+string(nonce), []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING)
			return err == nil, fmt.Sprint(err)
		}},
		{id: "kernel/vsock", name: "a socket to the hypervisor (AF_VSOCK)", req: belljar.ReqCalls, do: func(*attacker) (bool, string) {
			fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
			if err == nil {
				unix.Close(fd)
			}
			return err == nil, fmt.Sprint(err)
		}, excuse: func() string {
			if fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0); err == unix.EAFNOSUPPORT {
				return "the kernel of this host has no AF_VSOCK"
			} else if err == nil {
				unix.Close(fd)
			}
			return ""
		}},
		{id: "kernel/personality", name: "turn off address randomisation of what is executed", req: belljar.ReqCalls, own: true, judge: judgement{held: personalityHeld}, do: func(*attacker) (bool, string) {
			runtime.LockOSThread()
			_, _, e := unix.Syscall(unix.SYS_PERSONALITY, 0x0040000|0x0400000, 0, 0)
			return e == 0, e.Error()
		}},
		{id: "kernel/device", name: "open a device of the host", req: belljar.ReqReads, do: func(*attacker) (bool, string) {
			for _, d := range []string{"/dev/kmsg", "/dev/mem", "/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/loop-control", "/dev/kvm"} {
				if fi, err := os.Stat(d); err == nil && fi.Mode()&os.ModeDevice != 0 {
					return true, d + " is there"
				}
			}
			return false, "none is there"
		}},
		{id: "kernel/ipc", name: "read shared memory of the host (System V)", req: belljar.ReqProcesses, judge: secrets("ipc"), do: func(*attacker) (bool, string) {
			b, err := attachShared(0)
			if err != nil {
				return false, err.Error()
			}
			return true, string(b[:64])
		}},
	})
	for i := range rows {
		switch rows[i].id {
		case "kernel/bpf":
			rows[i].excuse = sysctlIs("/proc/sys/kernel/unprivileged_bpf_disabled", "kernel.unprivileged_bpf_disabled", "1", "2")
		case "kernel/perf":
			rows[i].excuse = sysctlIs("/proc/sys/kernel/perf_event_paranoid", "kernel.perf_event_paranoid", "3", "4")
		case "kernel/io-uring":
			rows[i].excuse = sysctlIs("/proc/sys/kernel/io_uring_disabled", "kernel.io_uring_disabled", "1", "2")
		}
		if strings.HasPrefix(rows[i].id, "kernel/proc-") && rows[i].judge.same != "" {
			rows[i].excuse = missing(rows[i].judge.same)
		}
	}
	return rows
}

// procRows look for what /proc tells of the host.
func procRows() []row {
	proc := func(name string) row {
		return row{id: "kernel/proc-" + strings.ReplaceAll(strings.ReplaceAll(filepath.Base(name), "_", "-"), ".", "-"), name: "read /proc/" + name, req: belljar.ReqReads,
			judge: judgement{same: "/proc/" + name}, do: files("/proc/" + name)}
	}
	own := func(r row) row { r.req = belljar.ReqKernel; return r } // only a kernel of its own hides it
	return []row{
		own(proc("version")), own(proc("sys/kernel/random/boot_id")),
		proc("cmdline"), proc("modules"), proc("kallsyms"), proc("bus/pci/devices"), proc("partitions"),
		{id: "kernel/proc-kcore", name: "find the kernel's memory in /proc/kcore", req: belljar.ReqReads, do: func(*attacker) (bool, string) {
			fi, err := os.Stat("/proc/kcore")
			return err == nil && fi.Mode().IsRegular() && fi.Size() > 0, fmt.Sprint(err)
		}, excuse: missing("/proc/kcore")},
		{id: "kernel/proc-sysrq", name: "find /proc/sysrq-trigger", req: belljar.ReqReads, do: func(*attacker) (bool, string) {
			fi, err := os.Stat("/proc/sysrq-trigger")
			return err == nil && fi.Mode().IsRegular(), fmt.Sprint(err)
		}, excuse: missing("/proc/sysrq-trigger")},
	}
}

// objectRows make kernel objects that a sandbox should not have.
func objectRows() []row {
	object := func(id, name, kind string, do func() (int, error)) row {
		return row{id: "kernel/" + id, name: name, req: belljar.ReqCalls, own: true, judge: judgement{object: kind}, do: func(*attacker) (bool, string) {
			_, err := do() // stays open until the attacker ends
			return err == nil, fmt.Sprint(err)
		}}
	}
	return []row{
		object("io-uring", "make an io_uring", "io_uring", func() (int, error) {
			var params [120]byte
			fd, _, e := unix.Syscall(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&params)), 0)
			return int(fd), errnoErr(e)
		}),
		object("userfaultfd", "make a userfaultfd", "userfaultfd", func() (int, error) {
			fd, _, e := unix.Syscall(unix.SYS_USERFAULTFD, 1 /* UFFD_USER_MODE_ONLY */ |unix.O_CLOEXEC, 0, 0)
			return int(fd), errnoErr(e)
		}),
		object("perf", "open a performance counter", "perf_event", func() (int, error) {
			a := &unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_TASK_CLOCK, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
				Bits: unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv | unix.PerfBitDisabled}
			return unix.PerfEventOpen(a, 0, -1, -1, 0)
		}),
		object("bpf", "make a BPF map", "bpf", func() (int, error) {
			a := [8]uint32{2, 4, 4, 1} // BPF_MAP_TYPE_ARRAY
			fd, _, e := unix.Syscall(unix.SYS_BPF, 0, uintptr(unsafe.Pointer(&a)), unsafe.Sizeof(a))
			return int(fd), errnoErr(e)
		}),
	}
}

// namespaceRows try what a user namespace of one's own would allow.
func namespaceRows() []row {
	return []row{
		{id: "kernel/userns-mount", name: "a user namespace of one's own, and a mount in it", req: belljar.ReqCalls, own: true, judge: judgement{held: mountHeld("belljar-verify-nested")},
			do: func(*attacker) (bool, string) {
				return nested("mount -t tmpfs belljar-verify-nested /mnt && echo mounted && read x")
			}},
		{id: "kernel/userns-netns", name: "a network namespace of one's own with a raw socket in it", req: belljar.ReqCalls, own: true, judge: judgement{held: packetHeld},
			do: packetInNamespace},
		{id: "kernel/unmount", name: "unmount what covers something, in a user namespace of one's own", layer: layerHome, own: true, judge: secrets("home", "etc", "run", "tmp"),
			do: func(a *attacker) (bool, string) {
				return nested("umount -l /proc /run /tmp /etc " + a.home + "; cat " + a.home + "/.ssh/id_rsa /etc/shadow /run/host-file /tmp/host-file; echo over")
			}},
		{id: "kernel/pivot", name: "pivot_root in a namespace of one's own, then rename over .git/config", layer: layerHold, own: true, judge: changed(projectName+"/.git/config", "evil-pivot"),
			do: func(a *attacker) (bool, string) {
				return nested("cd " + a.project + "; cp .git/config .git/c2 && echo '[evil-pivot]' >> .git/c2; mount --bind " + a.project + " /mnt; umount -l " + a.project + "/.git; mv .git/c2 .git/config; echo '[evil-pivot]' >> .git/config; echo over")
			}},
	}
}

func errnoErr(e unix.Errno) error {
	if e != 0 {
		return e
	}
	return nil
}

// missing excuses a row about a file that this host does not show to its own user.
func missing(path string) func() string {
	return func() string {
		if b, err := readSome(path); err != nil && os.IsPermission(err) {
			if _, serr := os.Stat(path); serr == nil {
				return ""
			}
			return path + " is closed on this host: " + err.Error()
		} else if err != nil || len(bytes.TrimSpace(b)) <= 3 {
			return path + " is empty or missing on this host"
		}
		return ""
	}
}

// nested runs a line in a user and mount namespace of its own; it says what was
// printed until the first line of it.
func nested(line string) (bool, string) {
	c := exec.Command("unshare", "-Urm", "sh", "-c", line)
	in, err := c.StdinPipe()
	if err != nil {
		return false, err.Error()
	}
	_ = in // stays open: the namespace lives as long as the attacker
	out, err := c.StdoutPipe()
	if err != nil {
		return false, err.Error()
	}
	var stderr bytes.Buffer
	c.Stderr = &limitedBuffer{b: &stderr, left: 2048}
	if err := c.Start(); err != nil {
		return false, err.Error()
	}
	var all strings.Builder
	b := make([]byte, 4096)
	for all.Len() < 8192 {
		n, err := out.Read(b)
		all.Write(b[:n])
		if err != nil || strings.Contains(all.String(), "mounted\n") || strings.Contains(all.String(), "over\n") {
			break
		}
	}
	return strings.Contains(all.String(), "mounted\n"), all.String() + stderr.String()
}

// mountHeld looks for a mount of that name in every mount namespace of this world.
func mountHeld(name string) func(*world) (bool, string) {
	return func(*world) (bool, string) {
		all, _ := filepath.Glob("/proc/[0-9]*/mountinfo")
		for _, p := range all {
			if b, err := os.ReadFile(p); err == nil && bytes.Contains(b, []byte(" "+name+" ")) {
				return true, p + " of the host shows the mount"
			}
		}
		return false, "the host's kernel has no such mount"
	}
}

// packetInNamespace opens a packet socket in a network namespace of its own.
func packetInNamespace(*attacker) (bool, string) {
	exe, err := os.Executable()
	if err != nil {
		return false, err.Error()
	}
	c := exec.Command("unshare", "-Urn", "--", exe, attackWord, "packet")
	in, err := c.StdinPipe()
	if err != nil {
		return false, err.Error()
	}
	_ = in
	out, err := c.StdoutPipe()
	if err != nil {
		return false, err.Error()
	}
	if err := c.Start(); err != nil {
		return false, err.Error()
	}
	b := make([]byte, 256)
	n, _ := out.Read(b)
	return strings.HasPrefix(string(b[:n]), "open"), string(b[:n])
}

// packetHeld looks for a packet socket in every network namespace of this world.
func packetHeld(*world) (bool, string) {
	all, _ := filepath.Glob("/proc/[0-9]*/net/packet")
	for _, p := range all {
		if b, err := os.ReadFile(p); err == nil && bytes.Count(b, []byte("\n")) > 1 {
			return true, p + " of the host lists a packet socket"
		}
	}
	return false, "the host's kernel has no packet socket"
}

// keyHeld looks whether the host's kernel has a key more of this user.
func keyHeld(w *world) (bool, string) {
	b, err := os.ReadFile("/proc/keys")
	return bytes.Contains(b, []byte("belljar-"+w.secrets["nonce"])), fmt.Sprint("/proc/keys of the host: ", err)
}

// personalityHeld looks for the personality in every process of this world.
func personalityHeld(*world) (bool, string) {
	all, _ := filepath.Glob("/proc/[0-9]*/task/*/personality")
	for _, p := range all {
		if b, err := os.ReadFile(p); err == nil && strings.TrimSpace(string(b)) == "00440000" {
			return true, p + " of the host shows it"
		}
	}
	return false, "no process of the host has it"
}

// openPacketSocket is the part of [packetInNamespace] that is inside.
func openPacketSocket() {
	_, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err == nil {
		fmt.Println("open")
	} else {
		fmt.Println(err)
	}
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// sharedKey names the host's decoy segment.
const sharedKey = 0x62656c6c

// attachShared attaches the decoy segment; flag may say that it is to be made.
func attachShared(flag int) ([]byte, error) {
	id, err := unix.SysvShmGet(sharedKey, 4096, flag|0o600)
	if err != nil {
		return nil, err
	}
	return unix.SysvShmAttach(id, 0, 0)
}
