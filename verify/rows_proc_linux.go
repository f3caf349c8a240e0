package verify

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
	"golang.org/x/sys/unix"
)

// socketRows try to reach services of the host by their sockets.
func socketRows() []row {
	at := func(id, what string, layer string, paths ...string) row {
		return row{id: "sockets/" + id, name: what, layer: layer, req: belljar.ReqSockets, judge: judgement{hit: true}, do: func(a *attacker) (bool, string) {
			var last error
			for _, p := range paths {
				p = strings.ReplaceAll(p, "UID", strconv.Itoa(os.Getuid()))
				c, err := net.DialTimeout("unix", a.socketPath(p), time.Second)
				if err == nil {
					c.Close()
					return true, "connected to " + p
				}
				last = err
			}
			return false, fmt.Sprint(last)
		}}
	}
	return []row{
		at("docker", "the container engine's socket", layerMounts, "/run/docker.sock", "/var/run/docker.sock"),
		at("ssh-agent", "the ssh-agent", layerMounts, "/run/user/UID/agent.sock"),
		at("dbus", "the session's D-Bus", layerMounts, "/run/user/UID/bus"),
		at("x11", "the X server", layerMounts, "/tmp/.X11-unix/X0"),
		at("abstract", "an abstract socket", "", "@belljar-verify-decoy"),
		at("project", "a socket of the host in the project", layerSockets, "host.sock"),
		{id: "sockets/fifo", name: "a FIFO of the host in the project", layer: layerSockets, judge: judgement{hit: true}, do: func(a *attacker) (bool, string) {
			fd, err := unix.Open(a.path("host.fifo"), unix.O_WRONLY|unix.O_NONBLOCK, 0)
			if err != nil {
				return false, err.Error()
			}
			defer unix.Close(fd)
			_, err = unix.Write(fd, []byte("leak"))
			return err == nil, fmt.Sprint(err)
		}},
	}
}

func (a *attacker) socketPath(p string) string {
	if strings.HasPrefix(p, "@") {
		return p
	}
	return a.path(p)
}

// processRows try to reach processes of the host.
func processRows() []row {
	return []row{
		{id: "process/see", name: "see a process of the host", req: belljar.ReqProcesses, do: func(*attacker) (bool, string) {
			pids := victims()
			return len(pids) > 0, fmt.Sprint("processes: ", pids)
		}},
		{id: "process/environ", name: "read the environment of a process of the host", req: belljar.ReqProcesses, judge: secrets("victim"), do: func(a *attacker) (bool, string) {
			var paths []string
			for _, p := range victims() {
				paths = append(paths, fmt.Sprintf("/proc/%d/environ", p))
			}
			return files(paths...)(a)
		}},
		{id: "process/signal", name: "signal a process of the host", req: belljar.ReqProcesses, judge: judgement{hit: true}, do: func(*attacker) (bool, string) {
			var b strings.Builder
			for _, p := range victims() {
				fmt.Fprintln(&b, p, unix.Kill(p, unix.SIGUSR1))
			}
			return b.Len() > 0, b.String()
		}},
		{id: "process/pidfd", name: "open and signal a process of the host by pidfd", req: belljar.ReqProcesses, do: func(*attacker) (bool, string) {
			for _, p := range victims() {
				fd, err := unix.PidfdOpen(p, 0)
				if err == nil {
					err = unix.PidfdSendSignal(fd, 0, nil, 0)
					unix.Close(fd)
					return err == nil, fmt.Sprint(err)
				}
			}
			return false, "no process to open"
		}},
		{id: "process/ptrace", name: "trace a process of the host", req: belljar.ReqProcesses, own: true, do: func(*attacker) (bool, string) {
			err := errors.New("no process to trace")
			for _, p := range victims() {
				if err = syscall.PtraceAttach(p); err == nil {
					_ = syscall.PtraceDetach(p)
					_ = unix.Kill(p, unix.SIGCONT)
					return true, ""
				}
			}
			return false, err.Error()
		}},
		{id: "process/memory", name: "read the memory of a process of the host", req: belljar.ReqProcesses, do: func(*attacker) (bool, string) {
			err := errors.New("no process to read")
			for _, p := range victims() {
				var f *os.File
				if f, err = os.Open(fmt.Sprintf("/proc/%d/mem", p)); err == nil {
					f.Close()
					return true, ""
				}
			}
			return false, err.Error()
		}},
		{id: "process/cgroup", name: "read the host's control groups", req: belljar.ReqReads, do: func(*attacker) (bool, string) {
			d, err := os.ReadDir("/sys/fs/cgroup")
			return len(d) > 0, fmt.Sprint(len(d), err)
		}},
		{id: "process/mountinfo", name: "see the host's mounts in the mount table", req: belljar.ReqProcesses, judge: judgement{}, do: func(*attacker) (bool, string) {
			b, err := os.ReadFile("/proc/self/mountinfo")
			return bytes.Contains(b, []byte(markerMount)), fmt.Sprintf("%.200s %v", b, err)
		}},
	}
}

// victims finds the decoy process of the host by its name.
func victims() []int {
	var out []int
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range all {
		if pid, err := strconv.Atoi(filepath.Base(p)); err == nil && isVictim(pid) {
			out = append(out, pid)
		}
	}
	return out
}

func isVictim(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && bytes.HasPrefix(b, []byte(argvVictim))
}
