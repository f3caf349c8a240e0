package backendtest

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/testenv"
)

var isolationCases = []tcase{
	{name: "kernel/own", why: "the kernel inside is not the host's", holds: belljar.ReqKernel, run: ownKernel},
	{name: "privileges/capabilities", why: "no capability is held, none can be gained", run: noCapabilities},
	{name: "privileges/no-new", why: "no program gives privileges that its caller lacks", run: func(t *testing.T, s *box) {
		s.want("grep NoNewPrivs /proc/self/status | tr -d '\\t'", "NoNewPrivs:1")
	}},
	{name: "privileges/set-uid", why: "set-uid programs give nothing", run: setUID},
	{name: "privileges/mknod", why: "no device can be made", run: func(t *testing.T, s *box) {
		s.fails("mknod /tmp/disk b 8 0")
		s.fails("mknod " + insideProject + "/mem c 1 1")
	}},
	{name: "privileges/mount", why: "nothing can be mounted", run: func(t *testing.T, s *box) { s.fails("mount -t tmpfs none /opt/empty") }},
	{name: "privileges/user-namespace", why: "a user namespace of one's own opens no way out", need: []string{"unshare"}, run: nestedNamespace},
	{name: "privileges/chroot", why: "chroot is refused", run: func(t *testing.T, s *box) { s.fails("chroot / true") }},
	{name: "privileges/chown", why: "files cannot be given away", run: func(t *testing.T, s *box) {
		s.fails("touch /tmp/mine && chown 12345 /tmp/mine")
	}},
	{name: "identity/root-inside", why: "uid 0 inside is the ordinary identity outside, and has no privilege", plan: func(p *belljar.Plan) {
		p.Identity.UID, p.Identity.GID = 0, 0
	}, run: rootInside},
	{name: "proc/only-own", why: "processes of the host are invisible", run: procOnlyOwn},
	{name: "proc/kill", why: "processes of the host are out of reach", run: killHost},
	{name: "proc/self-exe", why: "/proc shows paths inside, never the host's", run: func(t *testing.T, s *box) {
		if r := s.sh("readlink /proc/self/exe /proc/self/cwd /proc/1/root; cat /proc/self/maps"); strings.Contains(r.out, s.dir) {
			t.Errorf("a host path is visible: %s", r)
		}
	}},
	{name: "proc/mounts", why: "the mount table names no host path", run: mountTable},
	{name: "proc/sysrq", why: "the machine cannot be told anything", run: func(t *testing.T, s *box) {
		s.fails("echo c > /proc/sysrq-trigger")
		s.fails("echo x > /proc/sys/kernel/core_pattern")
	}},
	{name: "dev/minimal", why: "devices of the host are not there", run: minimalDev},
	{name: "dev/works", why: "the usual devices work", run: func(t *testing.T, s *box) {
		s.want("head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c; echo x > /dev/null; ls -d /dev/fd /dev/stdin", "4\n4\n/dev/fd\n/dev/stdin")
	}},
	{name: "dev/shm", why: "/dev/shm is private and writable", run: func(t *testing.T, s *box) {
		s.want("echo x > /dev/shm/belljar-test && cat /dev/shm/belljar-test", "x")
		s.hostLacks("/dev/shm/belljar-test")
	}},
	{name: "descriptors/none", why: "a command has its three files and nothing of ours", run: onlyThree},
	{name: "descriptors/caller", why: "no descriptor of the caller enters", bare: true, run: callerDescriptor},
	{name: "descriptors/regular-file", why: "a regular file has an offset of its own inside, so it is refused", run: regularFile},
	{name: "uts/hostname", why: "the host's name is not told", run: func(t *testing.T, s *box) { s.want("uname -n", "jar") }},
	{name: "uts/private", why: "the host's name cannot be changed", run: func(t *testing.T, s *box) {
		before, _ := os.Hostname()
		_ = s.sh("hostname evil")
		if after, _ := os.Hostname(); after != before {
			t.Errorf("the host is now called %q", after)
		}
	}},
	{name: "ipc/private", why: "System V objects of the host are not there", need: []string{"ipcs", "ipcmk"}, run: ipcPrivate},
	{name: "sockets/abstract", why: "abstract sockets of the host are out of reach", need: []string{"python3"}, run: abstractSocket},
	{name: "sockets/path", why: "a socket of the host below a mount cannot be connected to", need: []string{"python3"}, run: pathSocket},
	{name: "fifo/host", why: "a FIFO of the host is no channel to a process of the host", run: hostFIFO},
	{name: "ptrace/works-inside", why: "debuggers work on one's own processes only", need: []string{"python3"}, run: func(t *testing.T, s *box) {
		s.want("python3 -c 'import os; print(len([p for p in os.listdir(\"/proc\") if p.isdigit()]) < 40)'", "True")
	}},
}

func ownKernel(t *testing.T, s *box) {
	if r := s.sh("uname -v"); strings.TrimSpace(r.out) == hostKernel(t) {
		t.Errorf("uname -v is the host's: %q", r.out)
	}
}

// mountTable: where the kernel is the host's, the fourth field of mountinfo is what
// was bound, and nothing can change that; all else is neutral.
func mountTable(t *testing.T, s *box) {
	all := lines(s.sh("cat /proc/self/mounts /proc/self/mountinfo").out)
	shared := declared(t, s.b, belljar.ReqKernel).Level != belljar.Enforced
	for _, l := range all {
		if f := strings.Fields(l); shared && len(f) > 6 && strings.Contains(f[2], ":") {
			f[3] = ""
			l = strings.Join(f, " ")
		}
		if strings.Contains(l, s.dir) {
			t.Errorf("a host path is visible: %s", l)
		}
	}
	if len(all) == 0 {
		t.Error("the mount table is empty")
	}
}

func noCapabilities(t *testing.T, s *box) {
	r := s.sh("grep ^Cap /proc/self/status")
	for _, l := range lines(r.out) {
		if f := strings.Fields(l); len(f) != 2 || strings.Trim(f[1], "0") != "" {
			t.Errorf("%s", l)
		}
	}
	if len(lines(r.out)) == 0 {
		t.Error("no capability sets are shown")
	}
}

func setUID(t *testing.T, s *box) {
	s.want("cp /usr/bin/id /tmp/id && chmod u+s /tmp/id && /tmp/id -u", itoa(s.plan.Identity.UID))
	s.want("test -u /usr/bin/su && echo | /usr/bin/su -c id 2>/dev/null; id -u", itoa(s.plan.Identity.UID))
}

func nestedNamespace(t *testing.T, s *box) {
	// Whether it can be made is the tier's choice; what it must not give is the host.
	_ = s.sh("unshare -Ur sh -c 'umount " + insideHome + "; umount /usr; mount -o remount,rw /usr; touch /usr/from-namespace; mknod /tmp/d b 8 0'")
	s.fails("test -e /usr/from-namespace")
	s.fails("test -b /tmp/d")
	if _, err := os.Lstat("/usr/from-namespace"); err == nil {
		t.Error("a file appeared in the host's /usr")
	}
}

func rootInside(t *testing.T, s *box) {
	s.want("id -u; id -g; touch "+insideProject+"/r; stat -c %u:%g "+insideProject+"/r", "0\n0\n0:0")
	noCapabilities(t, s)
	s.fails("mount -t tmpfs none /opt/empty")
	s.fails("touch /usr/x")
	s.fails("touch /tmp/mine && chown 12345 /tmp/mine")
	fi, err := os.Stat(s.project + "/r")
	if err != nil {
		t.Fatal(err)
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && int(st.Uid) != s.plan.Identity.HostUID {
		t.Errorf("the host's owner is %d, want %d", st.Uid, s.plan.Identity.HostUID)
	}
}

func procOnlyOwn(t *testing.T, s *box) {
	r := s.sh("for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done")
	for _, l := range lines(r.out) {
		if strings.Contains(l, "test") && strings.Contains(l, "-test.") {
			t.Errorf("a process of the host is visible: %q", l)
		}
	}
	if r := s.sh("ls -d /proc/[0-9]* | wc -l"); len(strings.TrimSpace(r.out)) > 2 {
		t.Errorf("too many processes: %s", r)
	}
}

func killHost(t *testing.T, s *box) {
	me := itoa(os.Getpid())
	s.fails("test $$ != " + me + " && test 1 != " + me + " && kill -0 " + me) // numbers inside are small, and so are ours in a container
}

func minimalDev(t *testing.T, s *box) {
	for _, d := range []string{"mem", "kmem", "sda", "vda", "kvm", "loop0", "console", "kmsg", "input", "dri"} {
		s.fails("test -e /dev/" + d)
	}
}

func onlyThree(t *testing.T, s *box) {
	// ls itself has one more, for the directory.
	if r := s.sh("ls /proc/self/fd | wc -l"); strings.TrimSpace(r.out) != "4" {
		t.Errorf("descriptors: %s", s.sh("ls -l /proc/self/fd"))
	}
}

func callerDescriptor(t *testing.T, s *box) {
	secret, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	// Inheritable on purpose, as a careless caller's would be.
	if _, _, e := syscall.Syscall(syscall.SYS_FCNTL, secret.Fd(), syscall.F_SETFD, 0); e != 0 {
		t.Fatal(e)
	}
	s.boot()
	onlyThree(t, s)
	// Every process that can be looked at, the first command among them; a process of
	// the tier cannot be.
	s.want("for p in /proc/[0-9]*; do test $p = /proc/$$ || ls $p/fd 2>/dev/null | tr '\\n' ' '; done", "0 1 2")
	for _, kv := range strings.Split(s.sh("cat /proc/1/environ").out, "\x00") {
		if kv != "" && !slices.Contains(s.plan.Env, kv) {
			t.Errorf("process 1 has %q in its environment", kv)
		}
	}
}

func regularFile(t *testing.T, s *box) {
	f, err := os.CreateTemp(s.dir, "out")
	if err != nil {
		t.Fatal(err)
	}
	c := shell("echo x")
	c.Stdout = f
	if _, err := s.in.Start(t.Context(), &c); err == nil {
		t.Error("a regular file was accepted")
	}
}

func ipcPrivate(t *testing.T, s *box) {
	before, _ := os.ReadFile("/proc/sysvipc/msg")
	s.want("ipcmk -Q > /dev/null && echo made", "made")
	if after, _ := os.ReadFile("/proc/sysvipc/msg"); string(after) != string(before) {
		t.Error("a message queue appeared on the host")
	}
}

func abstractSocket(t *testing.T, s *box) {
	l, err := listenUnix("@belljar-test-" + itoa(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s.fails(`python3 -c 'import socket; s=socket.socket(socket.AF_UNIX); s.connect("\0belljar-test-` + itoa(os.Getpid()) + `")'`)
}

// served is a box whose project is what a tier promises to keep sockets and FIFOs
// of the host behind: a bind where it says so, else a view, which is what a run has.
func (s *box) served(t *testing.T) *box {
	t.Helper()
	if declared(t, s.b, belljar.ReqSockets).Level == belljar.Enforced {
		return s
	}
	testenv.Need(t, "fuse")
	v := newBox(t, s.b)
	v.useView()
	v.boot()
	return v
}

func pathSocket(t *testing.T, s *box) {
	s = s.served(t)
	l, err := listenUnix(s.project + "/host.sock")
	if err != nil {
		t.Skipf("the path is too long for a socket: %v", err)
	}
	defer l.Close()
	s.fails(`python3 -c 'import socket; s=socket.socket(socket.AF_UNIX); s.connect("` + insideProject + `/host.sock")'`)
}

func hostFIFO(t *testing.T, s *box) {
	s = s.served(t)
	if err := syscall.Mkfifo(s.project+"/host.fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(s.project+"/host.fifo", os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_ = s.sh("timeout 1 sh -c 'echo leak > " + insideProject + "/host.fifo'")
	buf := make([]byte, 8)
	if n, _ := syscall.Read(int(f.Fd()), buf); n > 0 {
		t.Errorf("%q came through a FIFO", buf[:n])
	}
}
