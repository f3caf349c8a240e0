package meter

import (
	"bytes"
	"cmp"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/backend/internal/procstat"
)

// A meter reads what a sandbox uses, by descriptors of its own process list and
// memory file systems. It is used by one goroutine at a time.
//
// Memory is what processes have of their own, files in memory file systems, memory
// files that are open or mapped somewhere, System V segments, and the buffers of
// pipes and unix sockets.
// The cheap sum counts pages that processes share by fork more than once; near the
// limit the kernel's exact share decides.
type meter struct {
	proc    *os.File // the sandbox's /proc
	tmpfs   []*os.File
	ipc     []*os.File // /proc/sysvipc/{shm,msg,sem}, as far as there are
	diag    *os.File   // tells of the sandbox's sockets, or nil
	threads int        // ours
	page    int64

	files    int64 // memory files, counted last
	pipes    int64 // their buffers
	sockets  sockets
	tables   int64 // page tables
	counted  time.Time
	pause    time.Duration
	shared   shared
	exact    int64 // memory of processes, when it was last asked exactly
	exactSum int64 // the cheap sum at that time
	cpu      time.Duration
}

// pauses between two counts of memory files, which cost a look at every descriptor:
// at least the shorter one, and so many times what a count takes.
const (
	filesPause = 20 * time.Millisecond
	filesShare = 8
)

func newMeter(s setup, proc *os.File, rest []*os.File) *meter {
	m := &meter{proc: proc, page: int64(os.Getpagesize()), threads: s.Threads, shared: shared{others: s.Others}}
	for _, f := range rest {
		var st unix.Statfs_t
		if unix.Fstatfs(int(f.Fd()), &st) != nil {
			f.Close()
			continue
		}
		switch st.Type {
		case unix.TMPFS_MAGIC:
			m.tmpfs = append(m.tmpfs, f)
		case unix.PROC_SUPER_MAGIC:
			m.ipc = append(m.ipc, f)
		default:
			m.diag = f
		}
	}
	return m
}

// read takes one sample.
func (m *meter) read(limit int64) (Usage, error) {
	u := Usage{Processes: -1}
	pids, err := m.pids()
	if err != nil {
		return u, err
	}
	var sum int64
	var cpu time.Duration
	threads := 0
	samples := make([]sample, len(pids))
	for i, pid := range pids {
		s := m.process(pid)
		samples[i] = s
		sum += s.private
		cpu += s.cpu
		threads += s.threads
	}
	m.cpu = max(m.cpu, cpu)
	u.CPU, u.Processes = m.cpu, max(threads-m.threads, 0)
	own := m.own(samples, sum, 0, limit)
	if limit > 0 && own > limit {
		u.Memory = own // the rest would take its time and change nothing
		return u, nil
	}
	m.countFiles(pids)
	segments, objects := m.systemV()
	known := m.memoryFileSystems() + segments + m.files // of shared memory
	rest := known + objects + m.pipes + m.sockets.sum + m.tables
	u.Memory = m.own(samples, sum, rest, limit) + rest
	u.Memory += m.unseen(pids, u.Memory, known, limit)
	return u, nil
}

// pids are the processes of the sandbox.
func (m *meter) pids() ([]string, error) {
	if _, err := m.proc.Seek(0, 0); err != nil {
		return nil, err
	}
	names, err := m.proc.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	out := names[:0]
	for _, n := range names {
		if n[0] >= '0' && n[0] <= '9' {
			out = append(out, n)
		}
	}
	return out, nil
}

// content reads a small file of the sandbox's /proc; empty when it is gone.
func (m *meter) content(name string, buf []byte) []byte {
	fd, err := unix.Openat(int(m.proc.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	n, err := unix.Read(fd, buf)
	if err != nil || n <= 0 {
		return nil
	}
	return buf[:n]
}

type sample struct {
	pid     string
	private int64
	threads int
	cpu     time.Duration
}

// process reads one process.
func (m *meter) process(pid string) sample {
	s := sample{pid: pid}
	buf := make([]byte, 1024)
	f := bytes.Fields(m.content(pid+"/statm", buf))
	if len(f) > 2 {
		s.private = (number(f[1]) - number(f[2])) * m.page
	}
	stat, _ := procstat.Parse(m.content(pid+"/stat", buf))
	s.cpu, s.threads = stat.CPU, stat.Threads
	return s
}

func number(b []byte) int64 {
	n, _ := strconv.ParseInt(string(b), 10, 64)
	return n
}

// inodeSize is about what a file takes in a memory file system beside its content.
const inodeSize = 1 << 10

// memoryFileSystems is what files in them use.
func (m *meter) memoryFileSystems() int64 {
	var sum int64
	for _, f := range m.tmpfs {
		var st unix.Statfs_t
		if unix.Fstatfs(int(f.Fd()), &st) == nil && st.Blocks > st.Bfree {
			sum += int64(st.Blocks-st.Bfree) * st.Bsize
		}
		if st.Files > st.Ffree {
			sum += int64(st.Files-st.Ffree) * inodeSize
		}
	}
	return sum
}

// systemV is what System V objects use: segments of shared memory, and queues of
// messages and sets of semaphores, which are the kernel's own memory.
func (m *meter) systemV() (segments, objects int64) {
	for _, f := range m.ipc {
		// A read gives a page at most.
		list, err := io.ReadAll(io.NewSectionReader(f, 0, maxObjects))
		if err != nil {
			continue
		}
		a, b := objectsIn(string(list))
		segments, objects = segments+a, objects+b
	}
	return segments, objects
}

const (
	// maxObjects bounds what is read of a list, in bytes: more objects than the kernel
	// allows by default have room.
	maxObjects = 8 << 20
	// What the kernel adds: to a queue or set, to each message, and what a semaphore is.
	objectSize, messageSize, semaphoreSize = 256, 96, 64
)

// objectsIn reads a list of one kind of objects, which its first line tells.
func objectsIn(list string) (segments, objects int64) {
	head, list, _ := strings.Cut(list, "\n")
	column := func(f []string, i int) int64 { return max(number([]byte(f[i])), 0) }
	for line := range strings.SplitSeq(list, "\n") {
		f := strings.Fields(line)
		switch {
		case strings.Contains(head, "shmid") && len(f) >= 15:
			segments += column(f, 14) // rss
		case strings.Contains(head, "msqid") && len(f) >= 5:
			objects += objectSize + column(f, 3) + column(f, 4)*messageSize // cbytes, qnum
		case strings.Contains(head, "semid") && len(f) >= 4:
			objects += objectSize + column(f, 3)*semaphoreSize // nsems
		}
	}
	return segments, objects
}

// own is what processes have of their own: sum, or less where rest, which the sandbox
// uses beside, brings it near the limit. There the sum may count shared pages twice, and
// the kernel is asked, anew whenever the sum has changed by what would matter.
func (m *meter) own(samples []sample, sum, rest, limit int64) int64 {
	if near := limit - limit/8; sum+rest <= near || rest > limit {
		return sum
	}
	if m.exact == 0 || sum-m.exactSum > limit/32 || m.exactSum-sum > limit/32 {
		m.exact, m.exactSum = m.shares(samples, limit, time.Now().Add(sharesBudget)), sum
	}
	return min(sum, m.exact+max(sum-m.exactSum, 0))
}

// sharesBudget is how long the kernel may be asked for exact shares.
const sharesBudget = 200 * time.Millisecond

// shares is what processes have of memory by the kernel's own account: a page that
// several have counts once. The largest come first, so that it ends soon where they are
// over the limit; of what the deadline leaves out all is its own.
func (m *meter) shares(samples []sample, limit int64, deadline time.Time) int64 {
	slices.SortFunc(samples, func(a, b sample) int { return cmp.Compare(b.private, a.private) })
	var sum int64
	buf := make([]byte, 4096)
	for _, s := range samples {
		if sum > limit {
			break
		}
		sum += m.share(s, buf, deadline)
	}
	return sum
}

func (m *meter) share(s sample, buf []byte, deadline time.Time) int64 {
	if time.Now().After(deadline) || kilobytes(string(m.content(s.pid+"/status", buf)), "\nVmPTE:") >= slowTables {
		return s.private
	}
	rollup := m.content(s.pid+"/smaps_rollup", buf)
	if len(rollup) == 0 {
		return s.private // it may not be looked at
	}
	return kilobytes(string(rollup), "\nPss_Anon:")
}
