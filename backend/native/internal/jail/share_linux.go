package jail

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// What the kernel counts for a user of the host over all namespaces, the sandbox
// shares with everything else that its user runs. It gets a part of each, so that the
// rest is left to others. See docs/tiers/native.md for what cannot be divided.

// limits are the resource limits of commands.
func (j *jail) limits() error {
	for _, l := range []struct {
		which int
		value func(max uint64) uint64
	}{
		// One byte: no file is written, and a helper of the host is not started either.
		{unix.RLIMIT_CORE, func(uint64) uint64 { return 1 }},
		// Descriptors that travel in messages are counted for the user, and whoever sends
		// one may have as many under way as it may have open.
		{unix.RLIMIT_NOFILE, func(max uint64) uint64 { return min(max-max/4, uint64(j.job.Files)) }},
		{unix.RLIMIT_MEMLOCK, half(8 << 20)},
		{unix.RLIMIT_MSGQUEUE, half(819200)},
		{unix.RLIMIT_SIGPENDING, half(1 << 20)},
	} {
		if err := lower(l.which, l.value); err != nil {
			return err
		}
	}
	return nil
}

// half is half of what the user has, of most at the most.
func half(most uint64) func(uint64) uint64 {
	return func(max uint64) uint64 { return min(max, most) / 2 }
}

// lower sets a limit to what value makes of what there is, which it never raises.
func lower(which int, value func(max uint64) uint64) error {
	var have syscall.Rlimit
	if err := syscall.Getrlimit(which, &have); err != nil {
		return fmt.Errorf("read limit %d: %w", which, err)
	}
	have.Max = min(have.Max, value(have.Max))
	have.Cur = have.Max
	if err := syscall.Setrlimit(which, &have); err != nil {
		return fmt.Errorf("set limit %d: %w", which, err)
	}
	return nil
}

// shareWatches leaves the user half of what watches files. A kernel that does not let
// the owner of a namespace bound it does not count for the user either.
func shareWatches() {
	for inside, host := range map[string]string{
		"max_inotify_instances": "fs/inotify/max_user_instances",
		"max_inotify_watches":   "fs/inotify/max_user_watches",
	} {
		b, err := os.ReadFile(path.Join("/proc/sys", host))
		if err != nil {
			continue
		}
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			_ = os.WriteFile(path.Join("/proc/sys/user", inside), []byte(strconv.Itoa(n/2)), 0)
		}
	}
}
