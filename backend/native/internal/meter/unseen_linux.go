package meter

import (
	"bufio"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Shared memory can be kept where no count of processes and descriptors finds it: in
// mappings whose pages were let go, behind so many descriptors that looking at each
// takes seconds, in processes that may not be looked at. The host's own count of shared
// memory does not miss it, but counts everybody's. So that count raises the suspicion,
// and what could be hidden bounds it.

// shared is what is known of the host's shared memory.
type shared struct {
	others int64 // the least that was ever not the sandbox's; -1: not known
	hidden int64 // found by the last search
	grown  int64 // the growth that was looked into then
	until  time.Time
}

// hostShared is the shared memory of the whole host, as in the line Shmem of
// /proc/meminfo; -1 when it is not told.
func hostShared() int64 {
	var s unix.Sysinfo_t
	if unix.Sysinfo(&s) != nil {
		return -1
	}
	return int64(s.Sharedram) * int64(s.Unit)
}

// unseen is the shared memory that the counts have missed, as far as it matters: where
// used, which they found, and all by which the host's shared memory has grown are not
// more than limit together, nobody asks further. known is what they found of it.
func (m *meter) unseen(pids []string, used, known, limit int64) int64 {
	host := hostShared()
	if host < 0 {
		return 0
	}
	s := &m.shared
	if s.others < 0 || host-known < s.others {
		s.others = max(host-known, 0)
	}
	growth := host - known - s.others
	if used+growth <= limit {
		s.hidden, s.grown = 0, 0
		return 0
	}
	now := time.Now()
	if growth-s.grown <= limit/32 && now.Before(s.until) {
		return min(s.hidden, growth)
	}
	s.grown, s.hidden = growth, growth // where the search does not come to an end
	if all, err := m.extents(pids, now.Add(filesBudget)); err == nil {
		s.hidden = min(max(all-m.files, 0), growth)
	}
	s.until = time.Now().Add(max(filesPause, filesShare*time.Since(now)))
	return s.hidden
}

// extents is what memory files hold that are open now, and what the shared mappings of
// those that nobody has open could hold at most.
func (m *meter) extents(pids []string, deadline time.Time) (int64, error) {
	seen := map[inode]int64{}
	if err := m.allDescriptors(pids, seen, map[string]int64{}, deadline); err != nil {
		return 0, err
	}
	ends := map[inode]int64{}
	for _, pid := range pids {
		if err := m.mappings(pid, deadline, func(id inode, end int64) {
			if _, open := seen[id]; !open {
				ends[id] = max(ends[id], end)
			}
		}); errors.Is(err, unix.EACCES) && pid != "1" {
			return 0, errDenied
		}
		if time.Now().After(deadline) {
			return 0, errSlow
		}
	}
	var sum int64
	for _, size := range seen {
		sum += size
	}
	for _, end := range ends {
		sum += end
	}
	return sum, nil
}

// mappings tells of the memory files that a process maps, until the deadline.
func (m *meter) mappings(pid string, deadline time.Time, tell func(id inode, end int64)) error {
	fd, err := unix.Openat(int(m.proc.Fd()), pid+"/maps", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "maps")
	defer f.Close()
	s := bufio.NewScanner(until{f, deadline})
	for s.Scan() {
		if id, end := sharedMapping(s.Text()); end > 0 {
			tell(id, end)
		}
	}
	return s.Err()
}

// sharedMapping reads a line of a list of mappings: which memory file it maps, and where
// in the file the mapping ends; end is 0 for all others.
//
//	7f00-7f10 rw-s 00000000 00:01 1234   /memfd:x (deleted)
func sharedMapping(line string) (id inode, end int64) {
	f := strings.Fields(line)
	if len(f) < 6 || !strings.HasPrefix(f[5], "/memfd:") && f[5] != "/dev/zero" {
		return inode{}, 0
	}
	from, to, _ := strings.Cut(f[0], "-")
	a, err1 := strconv.ParseUint(from, 16, 63)
	b, err2 := strconv.ParseUint(to, 16, 63)
	off, err3 := strconv.ParseUint(f[2], 16, 63)
	if err1 != nil || err2 != nil || err3 != nil || b <= a || off > 1<<62 {
		return inode{}, 0
	}
	return inode{device(f[3]), uint64(number([]byte(f[4])))}, int64(off + (b - a))
}
