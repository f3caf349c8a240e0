package jail

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/backend/internal/stage"
	"github.com/belljar-dev/belljar/internal/ablate"
)

// step carries out one step.
func (j *jail) step(root *stage.Root, s *Step) error {
	var err error
	switch s.Kind {
	case StepTmpfs:
		err = j.mountTmpfs(root, s)
	case StepProc:
		err = processes(root, s.Target, &newMount{fs: "proc", attr: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC})
	case StepDev:
		err = j.mountDev(root, s)
	case StepInside:
		err = j.bindFile(root, s)
	default:
		return root.Do(&s.Op)
	}
	if err != nil {
		return fmt.Errorf("%s %q: %w", s.Kind, s.Target, err)
	}
	return nil
}

type newMount struct {
	fs      string
	options [][2]string
	attr    int
}

// mountNew mounts a new file system at target.
func mountNew(root *stage.Root, target string, m *newMount) error {
	at, err := root.MountPoint(target, true)
	if err != nil {
		return fmt.Errorf("make the mount point: %w", err)
	}
	defer unix.Close(at)
	ctx, err := unix.Fsopen(m.fs, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(ctx)
	_ = unix.FsconfigSetString(ctx, "source", "belljar")
	for _, o := range m.options {
		if err := unix.FsconfigSetString(ctx, o[0], o[1]); err != nil {
			return fmt.Errorf("option %s: %w", o[0], err)
		}
	}
	if err := unix.FsconfigCreate(ctx); err != nil {
		return err
	}
	mnt, err := unix.Fsmount(ctx, unix.FSMOUNT_CLOEXEC, m.attr)
	if err != nil {
		return err
	}
	defer unix.Close(mnt)
	return move(mnt, at)
}

func move(mnt, at int) error {
	return unix.MoveMount(mnt, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// mountTmpfs mounts memory and keeps a descriptor of it, by which it is counted.
func (j *jail) mountTmpfs(root *stage.Root, s *Step) error {
	perm := s.Perm
	if perm == 0 {
		perm = 0o755
	}
	m := &newMount{fs: "tmpfs", attr: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV, options: [][2]string{{"mode", "0" + strconv.FormatUint(uint64(perm), 8)}}}
	if s.Size > 0 {
		m.options = append(m.options, [2]string{"size", strconv.FormatInt(s.Size, 10)})
	}
	if err := mountNew(root, s.Target, m); err != nil {
		return err
	}
	fd, err := root.MountPoint(s.Target, true)
	if err != nil {
		return err
	}
	if s.ReadOnly {
		j.seal = append(j.seal, fd)
		return nil
	}
	j.tmpfs = append(j.tmpfs, os.NewFile(uintptr(fd), "tmpfs"))
	return nil
}

// devices are bound from the host: they hold no state of it.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

var deviceLinks = [][2]string{
	{"ptmx", "pts/ptmx"}, {"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
}

func (j *jail) mountDev(root *stage.Root, s *Step) error {
	m := &newMount{fs: "tmpfs", attr: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC, options: [][2]string{{"mode", "0755"}, {"size", "65536"}}}
	if err := mountNew(root, s.Target, m); err != nil {
		return err
	}
	fd, err := root.MountPoint(s.Target, true)
	if err != nil {
		return err
	}
	j.seal = append(j.seal, fd)
	for _, d := range devices {
		at, err := root.MountPoint(path.Join(s.Target, d), false)
		if err == nil {
			err = bindDevice("/dev/"+d, at)
			unix.Close(at)
		}
		if err != nil {
			return fmt.Errorf("bind %s: %w", d, err)
		}
	}
	for _, l := range deviceLinks {
		if err := root.Do(&stage.Op{Kind: stage.OpSymlink, Target: path.Join(s.Target, l[0]), Content: l[1]}); err != nil {
			return err
		}
	}
	pts := &newMount{fs: "devpts", attr: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC, options: [][2]string{{"mode", "0620"}, {"ptmxmode", "0666"}, {"max", "256"}}}
	if err := mountNew(root, path.Join(s.Target, "pts"), pts); err != nil {
		return err
	}
	return root.Do(&stage.Op{Kind: stage.OpDir, Target: path.Join(s.Target, "shm"), Perm: 0o1777})
}

// bindDevice binds one device, which stays a device.
func bindDevice(source string, at int) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC, Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, attr); err != nil {
		return err
	}
	return move(tree, at)
}

// hiddenFiles and hiddenFolders of /proc tell of the host or change it; lockedFolders
// may be read.
var (
	hiddenFiles = []string{"kcore", "kallsyms", "keys", "key-users", "kmsg", "cmdline", "timer_list", "timer_stats", "sched_debug", "mtrr",
		"sysrq-trigger", "latency_stats", "modules", "slabinfo", "vmallocinfo", "iomem", "ioports", "interrupts", "softirqs",
		"kpagecount", "kpageflags", "kpagecgroup", "config.gz", "allocinfo", "pagetypeinfo", "zoneinfo", "buddyinfo", "diskstats", "partitions", "swaps"}
	hiddenFolders = []string{"acpi", "asound", "scsi", "driver", "dynamic_debug", "pressure", "fs", "irq", "bus"}
	lockedFolders = []string{"sys", "sysvipc"}
)

// mask covers sockets of the host, and what of /proc is not the sandbox's. Names that a kernel does not
// have are left out.
func (j *jail) mask(root *stage.Root) error {
	for _, o := range []stage.Op{
		{Kind: stage.OpDir, Target: Files, Perm: 0o755},
		{Kind: stage.OpDir, Target: Files + "/folder", Perm: 0o555},
		{Kind: stage.OpFile, Target: Files + "/file", Perm: 0o444},
		{Kind: stage.OpFile, Target: Files + "/meminfo", Content: meminfo(j.job.Memory), Perm: 0o444},
	} {
		if err := root.Do(&o); err != nil {
			return err
		}
	}
	for _, m := range j.job.Masked {
		if err := bindInside(root, Files+"/file", m); err != nil {
			return err
		}
	}
	if err := j.deny(root); err != nil {
		return err
	}
	target := ""
	for i := range j.job.Steps {
		if j.job.Steps[i].Kind == StepProc {
			target = j.job.Steps[i].Target
		}
	}
	if target == "" || ablate.Off(ablate.ProcMask) {
		return nil
	}
	cover := func(names []string, with string) error {
		for _, n := range names {
			if err := bindInside(root, with, path.Join(target, n)); err != nil {
				return err
			}
		}
		return nil
	}
	for _, n := range lockedFolders {
		if err := bindInside(root, path.Join(target, n), path.Join(target, n)); err != nil {
			return err
		}
	}
	return errors.Join(cover(hiddenFiles, Files+"/file"), cover(hiddenFolders, Files+"/folder"), cover([]string{"meminfo"}, Files+"/meminfo"))
}

// bindFile binds a file of the root to where it is wanted.
func (j *jail) bindFile(root *stage.Root, s *Step) error {
	at, err := root.MountPoint(s.Target, false)
	if err != nil {
		return err
	}
	unix.Close(at)
	return bindInside(root, s.Source, s.Target)
}

// bindInside binds something of the root, read-only, over something else of it.
func bindInside(root *stage.Root, source, target string) error {
	src, err := root.Open(source)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(src)
	at, err := root.Open(target)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(at)
	var a, b unix.Stat_t
	if unix.Fstat(src, &a) == nil && unix.Fstat(at, &b) == nil && a.Mode&unix.S_IFMT == unix.S_IFREG && b.Mode&unix.S_IFMT == unix.S_IFDIR {
		return fmt.Errorf("%q is a folder on this kernel", target)
	}
	tree, err := unix.OpenTree(src, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV, Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, attr); err != nil {
		return err
	}
	if err := move(tree, at); err != nil {
		return fmt.Errorf("cover %q: %w", target, err)
	}
	return nil
}

// sealAll makes what was built in memory read-only.
func (j *jail) sealAll() error {
	for _, fd := range j.seal {
		if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return fmt.Errorf("make a mount read-only: %w", err)
		}
		unix.Close(fd)
	}
	j.seal = nil
	return nil
}

// meminfo is a machine whose memory is the limit.
func meminfo(limit int64) string {
	kb := strconv.FormatInt(limit>>10, 10)
	line := func(name, v string) string { return fmt.Sprintf("%-16s%8s kB\n", name+":", v) }
	out := line("MemTotal", kb) + line("MemFree", kb) + line("MemAvailable", kb)
	for _, n := range []string{"Buffers", "Cached", "SwapCached", "Active", "Inactive", "SwapTotal", "SwapFree", "Dirty", "Writeback",
		"AnonPages", "Mapped", "Shmem", "KReclaimable", "Slab", "SReclaimable", "SUnreclaim"} {
		out += line(n, "0")
	}
	return out
}
