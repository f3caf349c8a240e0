package verify

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/belljar-dev/belljar/internal/ablate"
	"github.com/belljar-dev/belljar/internal/rootid"
	"golang.org/x/sys/unix"
)

// Places of a world, the same as seen from a sandbox without isolation.
const (
	marksDir    = "/tmp/belljar-verify-marks" // a payload that ran leaves a file here
	projectName = "src/project"               // below HOME
	markerMount = "belljar-verify-decoy-mount"
	attackerRel = ".local/bin/belljar" // below HOME: this program
)

// setUp builds the world around this process, its first one, and then executes
// this program again without any capability. It returns only on error.
func setUp(c *worldConfig) error {
	w := &world{cfg: c, home: c.Home}
	steps := []struct {
		name string
		do   func() error
	}{
		{"make the mounts private", func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") }},
		{"make the host read-only", readOnly},
		{"mount /proc", func() error {
			return unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
		}},
		{"mount memory over what is the user's", w.memory},
		{"copy this program", w.copyProgram},
		{"plant decoys", w.plant},
		{"add decoys to /etc", w.etc},
		{"mount a decoy", func() error {
			return unix.Mount(markerMount, "/var/tmp", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=1m,mode=1777")
		}},
		{"name the host", func() error { return unix.Sethostname([]byte(w.secret("hostname"))) }},
		{"make an internet", w.internet},
		{"open ping to everybody", func() error {
			return os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte(fmt.Sprintf("%d %d", os.Getgid(), os.Getgid())), 0)
		}},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return w.become()
}

// readOnly makes every mount of the host read-only, but for control groups, which
// a tier may use.
func readOnly() error {
	err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if err != nil {
		return err
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for l := range strings.Lines(string(b)) {
		f := strings.Fields(l)
		if len(f) > 5 && strings.HasPrefix(f[4], "/sys/fs/cgroup") {
			_ = unix.MountSetattr(unix.AT_FDCWD, f[4], 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
		}
	}
	return nil
}

// memory mounts fresh memory over every place in which something of the user's, or
// a socket of the host, may lie.
func (w *world) memory() error {
	places := []string{"/tmp", "/run", "/var/tmp", "/dev/shm", w.home}
	if rootid.StartedAsRoot() {
		places = append(places, rootid.StateDir)
	}
	for _, p := range places {
		if p == w.home { // it may lie below what is memory already
			if err := os.MkdirAll(p, 0o700); err != nil {
				return err
			}
		}
		real, err := filepath.EvalSymlinks(p)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		mode := "mode=1777"
		if p == w.home || p == rootid.StateDir {
			mode = "mode=0700"
		}
		if err := unix.Mount("belljar-verify", real, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=512m,"+mode); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}

// copyProgram puts this program where the user's own programs are.
func (w *world) copyProgram() error {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer from.Close()
	at := filepath.Join(w.home, attackerRel)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	to, err := os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

// etc lays a few readable secrets over what /etc of the host has.
func (w *world) etc() error {
	dir := "/run/belljar-verify-etc"
	files := map[string]string{
		"shadow":                   "root:" + w.secret("etc") + ":19000:0:99999:7:::\n",
		"ssh/ssh_host_ed25519_key": w.secret("etc") + "\n",
		"resolv.conf":              "nameserver " + addrDNS + "\n",
		"nsswitch.conf":            "passwd: files\ngroup: files\nhosts: files dns\n",
		"hosts":                    "127.0.0.1 localhost\n::1 localhost\n",
	}
	for name, content := range files {
		if err := writeFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	for _, d := range []string{dir, dir + "/ssh"} {
		if err := os.Chmod(d, 0o755); err != nil {
			return err
		}
	}
	return unix.Mount("belljar-verify", "/etc", "overlay", unix.MS_RDONLY|unix.MS_NOSUID, "lowerdir="+dir+":/etc")
}

// become gives up every capability and goes on as the world's ordinary user.
func (w *world) become() error {
	if err := w.save(); err != nil {
		return err
	}
	if err := os.Chdir(w.project()); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("give up capabilities: %w", err)
	}
	env := append(w.environment(), stageVariable+"=inside")
	at := filepath.Join(w.home, attackerRel)
	return syscall.Exec(at, append([]string{at}, os.Args[1:]...), env)
}

// environment is that of a developer: with secrets and with ways to the host.
func (w *world) environment() []string {
	run := w.runtimeDir()
	env := []string{
		"HOME=" + w.home, "PATH=" + safePath, "LANG=C.UTF-8", "TERM=xterm-256color", "XDG_RUNTIME_DIR=" + run,
		"AWS_SECRET_ACCESS_KEY=" + w.secret("env"), "GITHUB_TOKEN=" + w.secret("env"), "MY_PRIVATE_THING=" + w.secret("env"),
		keyVariable + "=" + w.secret("credential"), otherVariable + "=" + w.secret("other"), toolVariable + "=" + w.secret("tool"),
		"SSH_AUTH_SOCK=" + run + "/agent.sock", "DBUS_SESSION_BUS_ADDRESS=unix:path=" + run + "/bus",
		"DISPLAY=:0", "DOCKER_HOST=unix:///run/docker.sock",
	}
	for _, e := range os.Environ() {
		for _, keep := range []string{"BELLJAR_STARTED_AS_ROOT=", "GOCOVERDIR="} {
			if strings.HasPrefix(e, keep) {
				env = append(env, e)
			}
		}
	}
	return append(env, ablate.Environ()...)
}

func writeFile(path, content string, perm os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), perm)
}
