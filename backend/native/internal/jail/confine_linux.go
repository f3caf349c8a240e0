package jail

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/backend/native/internal/filter"
	"github.com/belljar-dev/belljar/internal/ablate"
	"github.com/belljar-dev/belljar/internal/ahead"
	"github.com/belljar-dev/belljar/internal/seccomp"
)

// spares is how many threads are made ahead. Once commands run, the limit of
// processes may leave none to be made, and a Go program that cannot make a thread ends.
const spares = 6

// spareThreads makes threads that stay.
func spareThreads() {
	var all, begun sync.WaitGroup
	begun.Add(spares)
	for range spares {
		all.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			begun.Done()
			begun.Wait() // all at once, so that each has its own
		})
	}
	all.Wait()
}

// confine takes from the calling thread what commands must not have, and the
// capabilities from all threads.
func (j *jail) confine() error {
	ahead.Timers(ahead.Exact) // of what this thread starts; ours may be late
	if err := j.limits(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hide the memory: %w", err)
	}
	if ablate.Off(ablate.NoNewPrivs) { // what comes later then takes capabilities
		defer func() { _ = j.dropCapabilities() }()
	} else if err := j.forbid(); err != nil {
		return err
	}
	if !ablate.Off(ablate.Landlock) {
		if err := j.landlock(); err != nil {
			return fmt.Errorf("restrict by Landlock: %w", err)
		}
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	j.threads = len(tasks)
	if ablate.Off(ablate.Filter) {
		return nil
	}
	return seccomp.Install(filter.Program(filter.Options{Pinned: j.job.Pinned}))
}

// securebits: uid 0 means nothing, ambient capabilities cannot be raised, and
// neither can be changed.
const securebits = 1<<0 | 1<<1 | 1<<2 | 1<<3 | 1<<5 | 1<<6 | 1<<7

// forbid gives up the capabilities, and every way to new ones.
func (j *jail) forbid() error {
	if err := j.dropCapabilities(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid new privileges: %w", err)
	}
	return nil
}

func (j *jail) dropCapabilities() error {
	if ablate.Off(ablate.Capabilities) {
		return nil
	}
	for c := uintptr(0); c < 64; c++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); errors.Is(err, unix.EINVAL) {
			break // beyond the last one of this kernel
		} else if err != nil {
			return fmt.Errorf("bound capability %d: %w", c, err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear the ambient capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, securebits, 0, 0, 0); err != nil {
		return fmt.Errorf("lock the secure bits: %w", err)
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	// The other threads start nothing, so that a build with cgo, where Go cannot reach
	// them, loses a second line only.
	if !ablate.Off(ablate.NoNewPrivs) {
		_, _, _ = syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0)
	}
	_, _, _ = syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&none)), 0)
	if err := unix.Capset(&hdr, &none[0]); err != nil {
		return fmt.Errorf("drop the capabilities: %w", err)
	}
	return nil
}

// Rights of Landlock.
const (
	lockFile = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	lockDir  = lockFile | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER
	lockDevice = lockFile | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	lockAll    = lockDir | lockDevice | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK
)

// landlock is the second line behind read-only mounts, and keeps signals and
// abstract sockets inside where the kernel can. Reading is what mounts decide.
func (j *jail) landlock() error {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 || abi < 2 { // before 2 nothing could be moved between folders
		return nil
	}
	handled := uint64(lockAll)
	if abi < 3 {
		handled &^= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi < 5 {
		handled &^= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= 9 { // sockets that were made outside cannot be connected to by their path
		handled |= unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX
	}
	attr := struct{ fs, net, scoped uint64 }{fs: handled}
	size := uintptr(8)
	if abi >= 6 {
		attr.scoped, size = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET|unix.LANDLOCK_SCOPE_SIGNAL, unsafe.Sizeof(attr)
	}
	rules, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(rules))
	allow := func(p string, access uint64) error { return allowBelow(int(rules), p, access&handled) }
	for _, p := range j.job.Writable {
		if err := allow(p, lockDir); err != nil {
			return fmt.Errorf("%q: %w", p, err)
		}
	}
	// Nothing below /proc: who is killed first when memory is short stays as it is.
	if err := allow("/dev", lockDevice); err != nil {
		return err
	}
	// The other threads start nothing: a build with cgo, where Go cannot reach them,
	// loses a second line only.
	_, _, errno = syscall.AllThreadsSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0)
	if errno == unix.ENOTSUP {
		_, _, errno = unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0)
	}
	if errno != 0 {
		return errno
	}
	return nil
}

func allowBelow(rules int, p string, access uint64) error {
	fd, err := unix.Open(p, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil // a plan without it
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= lockDevice
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
