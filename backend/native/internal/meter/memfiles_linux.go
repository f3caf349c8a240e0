package meter

import (
	"bufio"
	"errors"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// fewPipes is the number of pipes whose buffers are not worth a look.
const fewPipes = 16

type inode struct{ dev, ino uint64 }

// filesBudget is how long one look at all descriptors and mappings may take. Whoever has
// so many that it takes longer is judged by what could be there: [meter.unseen] and
// [meter.room].
const filesBudget = 100 * time.Millisecond

// countFiles counts memory files, the buffers of pipes and sockets, and page tables,
// seldom enough to cost little.
func (m *meter) countFiles(pids []string) {
	began := time.Now()
	if began.Sub(m.counted) < m.pause {
		return
	}
	defer func() {
		m.counted = time.Now()
		m.pause = max(filesPause, filesShare*m.counted.Sub(began))
	}()
	deadline := began.Add(filesBudget)
	// They grow whether or not the rest comes to an end.
	m.tables = m.pageTables(pids)
	m.sockets.count(m.diag, deadline)
	seen := map[inode]int64{}
	pipes := map[string]int64{}
	if errors.Is(m.allDescriptors(pids, seen, pipes, deadline), errSlow) {
		return // as it was
	}
	m.files = m.mappedBy(pids, seen, deadline)
	m.pipes = 0
	for _, size := range pipes {
		m.pipes += size
	}
}

// pageTables is what the page tables of processes take. The file is written without a
// look at their mappings.
func (m *meter) pageTables(pids []string) int64 {
	var sum int64
	buf := make([]byte, 4096)
	for _, pid := range pids {
		sum += kilobytes(string(m.content(pid+"/status", buf)), "\nVmPTE:")
	}
	return sum
}

// mappedBy is what is in the open memory files of seen and in those that are mapped only.
// Of a process that it came not to until the deadline it counts all that the process has
// of shared memory, as far as the host has more of it than others use.
func (m *meter) mappedBy(pids []string, seen map[inode]int64, deadline time.Time) int64 {
	var sum, unlooked int64
	for _, size := range seen {
		sum += size
	}
	buf := make([]byte, 4096)
	for _, pid := range pids {
		status := string(m.content(pid+"/status", buf))
		resident := kilobytes(status, "\nRssShmem:")
		if resident < fewShared {
			continue
		}
		share, err := int64(0), errSlow
		if kilobytes(status, "\nVmPTE:") < slowTables {
			share, err = m.mapped(pid, seen, deadline)
		}
		if errors.Is(err, errSlow) {
			unlooked += max(resident-share, 0)
		}
		sum += share
	}
	if unlooked > 0 {
		sum += min(unlooked, m.room(sum))
	}
	return sum
}

// room is the shared memory of the host that may be the sandbox's beside what was found.
func (m *meter) room(found int64) int64 {
	host := hostShared()
	if host < 0 || m.shared.others < 0 {
		return math.MaxInt64
	}
	segments, _ := m.systemV()
	return max(host-m.shared.others-m.memoryFileSystems()-segments-found, 0)
}

var (
	errSlow   = errors.New("there are too many descriptors to look at")
	errDenied = errors.New("a process may not be looked at")
)

// allDescriptors looks at the descriptors of all processes until the deadline. The error
// says that it did not come to an end, or, otherwise, that a process of the sandbox may
// not be looked at: it executes a program that it may not read.
func (m *meter) allDescriptors(pids []string, seen map[inode]int64, pipes map[string]int64, deadline time.Time) error {
	var denied error
	for _, pid := range pids {
		err := m.descriptors(pid, seen, pipes, deadline)
		if time.Now().After(deadline) {
			return errSlow
		}
		if errors.Is(err, unix.EACCES) && pid != "1" { // the first process is ours
			denied = errDenied
		}
	}
	return denied
}

// descriptors notes the memory files and pipes that a process has open.
func (m *meter) descriptors(pid string, seen map[inode]int64, pipes map[string]int64, deadline time.Time) error {
	dir, err := unix.Openat(int(m.proc.Fd()), pid+"/fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	m.entries(dir, deadline, func(name string) {
		link := make([]byte, 64)
		n, err := unix.Readlinkat(dir, name, link)
		if err != nil {
			return
		}
		switch to := string(link[:n]); {
		case strings.HasPrefix(to, "pipe:"):
			if _, known := pipes[to]; !known {
				pipes[to] = 0
				if len(pipes) > fewPipes {
					pipes[to] = pipeBuffer(dir, name)
				}
			}
		case strings.HasPrefix(to, "/memfd:"), strings.HasPrefix(to, "/dev/zero (deleted)"), strings.HasPrefix(to, "/SYSV"):
			m.note(dir, name, seen)
		}
	})
	return nil
}

// pipeBuffer is what a pipe may hold, when anything is in it: a page may hold one byte.
func pipeBuffer(dir int, name string) int64 {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	if n, err := unix.IoctlGetInt(fd, unix.TIOCINQ); err != nil || n == 0 {
		return 0
	}
	size, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		return 0
	}
	return int64(size)
}

const (
	// fewShared is the mapped shared memory of a process that is not worth a look.
	fewShared = 1 << 20
	// slowTables are the page tables of a process through which the kernel would walk
	// too long to look at its mappings: no deadline ends that.
	slowTables = 32 << 20
)

// mapped is the memory of shared anonymous mappings and of memory files that nobody
// has open any more, as the process's share of them: of as many mappings as it came to
// until the deadline.
func (m *meter) mapped(pid string, seen map[inode]int64, deadline time.Time) (int64, error) {
	if time.Now().After(deadline) {
		return 0, errSlow
	}
	fd, err := unix.Openat(int(m.proc.Fd()), pid+"/smaps", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	f := os.NewFile(uintptr(fd), "smaps")
	defer f.Close()
	return sharedOf(until{f, deadline}, seen)
}

// An until reads a file, a piece at a time, until the deadline.
type until struct {
	io.Reader
	deadline time.Time
}

func (u until) Read(b []byte) (int, error) {
	if time.Now().After(u.deadline) {
		return 0, errSlow
	}
	return u.Reader.Read(b)
}

// kilobytes finds the line "KEY 123 kB" in a file of /proc, in bytes; 0 where there is
// none.
func kilobytes(text, key string) int64 {
	_, after, _ := strings.Cut(text, key)
	f := strings.Fields(after)
	if len(f) == 0 {
		return 0
	}
	return min(max(number([]byte(f[0])), 0), math.MaxInt64>>10) << 10
}

// sharedOf sums the shares of a list of mappings, without the files in seen, as far as
// it can be read.
func sharedOf(r io.Reader, seen map[inode]int64) (int64, error) {
	var sum int64
	counts := false
	s := bufio.NewScanner(r)
	for s.Scan() {
		line := s.Text()
		if v, ok := strings.CutPrefix(line, "Pss:"); ok {
			if f := strings.Fields(v); counts && len(f) > 0 {
				sum += min(max(number([]byte(f[0])), 0), math.MaxInt64>>20) << 10
			}
			continue
		}
		// 7f00-7f10 rw-s 00000000 00:01 1234   /memfd:x (deleted)
		f := strings.Fields(line)
		if len(f) < 5 || !strings.Contains(f[0], "-") {
			continue
		}
		counts = false
		if len(f) > 5 && (strings.HasPrefix(f[5], "/memfd:") || f[5] == "/dev/zero") {
			_, known := seen[inode{device(f[3]), uint64(number([]byte(f[4])))}]
			counts = !known
		}
	}
	return sum, s.Err()
}

// device reads a device number in hexadecimal, major:minor.
func device(s string) uint64 {
	a, b, _ := strings.Cut(s, ":")
	major, err1 := strconv.ParseUint(a, 16, 32)
	minor, err2 := strconv.ParseUint(b, 16, 32)
	if err1 != nil || err2 != nil {
		return 0
	}
	return unix.Mkdev(uint32(major), uint32(minor))
}

func (m *meter) note(dir int, name string, seen map[inode]int64) {
	var st unix.Stat_t
	if unix.Fstatat(dir, name, &st, 0) == nil {
		seen[inode{st.Dev, st.Ino}] = st.Blocks * 512
	}
}

// entries lists an open directory until the deadline.
func (m *meter) entries(dir int, deadline time.Time, f func(name string)) {
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.Getdents(dir, buf)
		if err != nil || n <= 0 || time.Now().After(deadline) {
			return
		}
		var names []string
		_, _, names = unix.ParseDirent(buf[:n], -1, nil)
		for _, name := range names {
			f(name)
		}
	}
}
