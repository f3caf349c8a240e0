package rootid

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/userns"
	"golang.org/x/sys/unix"
)

// Enter returns at once when the process is not root. As root it does not return
// on success: the program starts again as the sandbox identity with the same
// arguments. On error nothing outside this process has changed but the two
// folders of belljar's own.
func Enter(r Request) error {
	if os.Geteuid() != 0 {
		return nil
	}
	if p := userns.Limit("user", "mnt"); p != nil { // which are needed here
		return refuse("start as root", errors.New(p.Reason), p.Remedy)
	}
	uid, gid, err := lookup()
	if err != nil {
		return refuse("find the identity for sandboxes of root", err, "create a system user for it: useradd --system --no-create-home belljar")
	}
	if err := exists(uid, gid); err != nil {
		if p := userns.Check(); p != nil {
			return refuse("start as root of a user namespace", errors.New(p.Reason), p.Remedy)
		}
		return refuse("become the identity for sandboxes of root", err,
			"this is root of a user namespace only (unshare, a rootless container): start belljar outside of it, as the ordinary user")
	}
	for _, d := range []string{StateDir, RuntimeDir} {
		if err := ownDir(d, uid, gid); err != nil {
			return refuse("prepare "+d, err, "remove it or give it to the user belljar, mode 0700")
		}
	}
	// From here on the thread differs from the others; exec makes it the process.
	runtime.LockOSThread()
	cwd, err := os.Getwd()
	if err != nil {
		return refuse("find the current folder", err, "change into a folder that exists")
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return refuse("make a mount namespace", err, "root without CAP_SYS_ADMIN (a container?) cannot start sandboxes: start belljar as an ordinary user")
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return refuse("make mounts private", err, "")
	}
	if err := mapAll(topmost(append([]string{r.Home}, r.Dirs...)), uid, gid); err != nil {
		return err
	}
	if err := openFuse(); err != nil {
		return refuse("make /dev/fuse usable for the sandbox identity", err, "chmod 0666 /dev/fuse, as udev does")
	}
	// The current folder still is the one below the new mounts.
	if err := os.Chdir(cwd); err != nil {
		return refuse("enter "+cwd, err, "")
	}
	return become(uid, gid)
}

// lookup finds the identity: the user belljar, or the fixed number.
func lookup() (uid, gid int, err error) {
	if u, err := user.Lookup("belljar"); err == nil {
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2); err != nil {
			return 0, 0, err
		}
		if uid == 0 || gid == 0 {
			return 0, 0, errors.New("the user belljar is root")
		}
		return uid, gid, nil
	}
	id := strconv.Itoa(DefaultID)
	if u, err := user.LookupId(id); err == nil {
		return 0, 0, fmt.Errorf("uid %s belongs to %s", id, u.Username)
	}
	return DefaultID, DefaultID, nil
}

// exists is an error where the user namespace of this process has no such identity.
func exists(uid, gid int) error {
	for _, m := range []struct {
		file, what string
		id         int
	}{{"/proc/self/uid_map", "uid", uid}, {"/proc/self/gid_map", "gid", gid}} {
		b, err := os.ReadFile(m.file)
		if err != nil {
			return err
		}
		if !mapped(string(b), m.id) {
			return fmt.Errorf("%s %d does not exist in this user namespace", m.what, m.id)
		}
	}
	return nil
}

// mapped says whether a file like /proc/self/uid_map has id: lines of the first number
// inside, outside, and how many.
func mapped(ranges string, id int) bool {
	for line := range strings.Lines(ranges) {
		var first, outside, count int
		if _, err := fmt.Sscan(line, &first, &outside, &count); err == nil && id >= first && id-first < count {
			return true
		}
	}
	return false
}

// ownDir makes path a folder of uid alone. What is there already must be one, or an empty
// one of root's: another start has made it just now, or was killed before it gave it away.
func ownDir(path string, uid, gid int) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	vacant := empty(path) // before its owner is asked for: who gets it fills it at once
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Mode&0o077 != 0 || int(st.Uid) != uid && !(st.Uid == 0 && vacant) {
		return fmt.Errorf("it exists and is no private folder of uid %d", uid)
	}
	if int(st.Uid) == uid {
		return nil
	}
	return os.Lchown(path, uid, gid)
}

func empty(dir string) bool {
	names, err := os.ReadDir(dir)
	return err == nil && len(names) == 0
}

// mapAll mounts an idmapped copy of each folder, and of the folders above it that
// the identity could not pass, over itself. All copies are taken before the first
// is mounted: an idmapped mount cannot be mapped again.
func mapAll(dirs []string, uid, gid int) error {
	type tree struct {
		path string
		fd   int
	}
	var trees []tree
	defer func() {
		for _, t := range trees {
			unix.Close(t.fd)
		}
	}()
	for _, d := range withClosedParents(dirs) {
		fd, err := mapOwner(d, uid, gid)
		if err != nil {
			return refuse("mount "+d+" for the sandbox identity", err,
				"this file system has no idmapped mounts: start belljar as the ordinary user who owns the folder, or move it to ext4, xfs or btrfs")
		}
		trees = append(trees, tree{d, fd})
	}
	for _, t := range trees {
		if err := unix.MoveMount(t.fd, "", unix.AT_FDCWD, t.path, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return refuse("mount "+t.path+" for the sandbox identity", fmt.Errorf("move_mount: %w", err), "")
		}
	}
	return nil
}

// withClosedParents adds, outermost first, the folders on the way to each of dirs
// that not everybody may pass.
func withClosedParents(dirs []string) []string {
	var out []string
	for _, d := range dirs {
		for i := 1; i < len(d); i++ {
			if d[i] != '/' {
				continue
			}
			var st unix.Stat_t
			if err := unix.Stat(d[:i], &st); err == nil && st.Mode&0o001 == 0 && !slices.Contains(out, d[:i]) {
				out = append(out, d[:i])
			}
		}
		if !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	slices.Sort(out)
	return out
}

// mapOwner makes an idmapped copy of the mount at dir: the folder's owner becomes uid.
func mapOwner(dir string, uid, gid int) (int, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return -1, err
	}
	ns, err := mappingNS(int(st.Uid), uid, int(st.Gid), gid)
	if err != nil {
		return -1, err
	}
	defer ns.Close()
	// With what is mounted below it, where all of that can be mapped; else alone.
	fd, err := mappedTree(dir, ns, unix.AT_RECURSIVE)
	if err != nil {
		fd, err = mappedTree(dir, ns, 0)
	}
	return fd, err
}

func mappedTree(dir string, ns *os.File, recursive uint) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|recursive)
	if err != nil {
		return -1, fmt.Errorf("open_tree: %w", err)
	}
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP | unix.MOUNT_ATTR_NOSUID, Userns_fd: uint64(ns.Fd())}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|recursive, attr); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("mount_setattr: %w", err)
	}
	return fd, nil
}

// openFuse puts a /dev/fuse that everybody may open over one that only root may,
// in our own mount namespace. Without the device nothing is done: the tier says so.
func openFuse() error {
	const dev = "/dev/fuse"
	var st unix.Stat_t
	if err := unix.Stat(dev, &st); err != nil || st.Mode&0o006 == 0o006 {
		return nil
	}
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("fsopen: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return fmt.Errorf("fsconfig: %w", err)
	}
	mnt, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return fmt.Errorf("fsmount: %w", err)
	}
	defer unix.Close(mnt)
	if err := unix.Mknodat(mnt, "fuse", unix.S_IFCHR|0o600, int(st.Rdev)); err != nil {
		return fmt.Errorf("mknod: %w", err)
	}
	if err := unix.Fchmodat(mnt, "fuse", 0o666, 0); err != nil { // whatever the umask
		return fmt.Errorf("chmod: %w", err)
	}
	node, err := unix.OpenTree(mnt, "fuse", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	defer unix.Close(node)
	return unix.MoveMount(node, "", unix.AT_FDCWD, dev, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// mappingNS makes a user namespace that maps one uid and one gid. The process
// that carries it is stopped by ptrace at its first instruction and never runs.
func mappingNS(fsUID, uid, fsGID, gid int) (*os.File, error) {
	p, err := os.StartProcess("/proc/self/exe", []string{"belljar-userns"}, &os.ProcAttr{Sys: &syscall.SysProcAttr{
		Ptrace:      true,
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: fsUID, HostID: uid, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: fsGID, HostID: gid, Size: 1}},
	}})
	if err != nil {
		return nil, fmt.Errorf("make a user namespace: %w", err)
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", p.Pid))
	kill := errors.Join(p.Kill(), reap(p.Pid))
	if err != nil {
		return nil, errors.Join(err, kill)
	}
	return f, nil
}

// reap waits until pid is gone; it reports its ptrace stop before its death.
func reap(pid int) error {
	for {
		var ws unix.WaitStatus
		_, err := unix.Wait4(pid, &ws, 0, nil)
		if errors.Is(err, unix.EINTR) || err == nil && ws.Stopped() {
			continue
		}
		return err
	}
}

// become drops to uid and gid for good and executes this program again.
func become(uid, gid int) error {
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); e != 0 {
		return refuse("drop groups", e, "")
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)); e != 0 {
		return refuse("change the group", e, "")
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); e != 0 {
		return refuse("change the user", e, "")
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return refuse("give up privileges", err, "")
	}
	err := syscall.Exec("/proc/self/exe", os.Args, append(Environ(), marker+"=1"))
	return refuse("execute belljar as the sandbox identity", err, "the program must be readable and executable for everybody, or lie below the caller's home")
}

func refuse(op string, err error, hint string) error {
	return &belljar.Error{Op: op, Kind: belljar.KindNotHere, Err: err, Hint: hint}
}
