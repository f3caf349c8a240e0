package meter

import (
	"bufio"
	"math"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/internal/testenv"
)

const (
	stallVariable = "BELLJAR_METER_STALL"
	stallPages    = 400 // that are touched
)

// TestMain is also a process that is slow to look at.
func TestMain(m *testing.M) {
	if os.Getenv(stallVariable) == "" {
		os.Exit(m.Run())
	}
	if err := stall(); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

// stall has as many mappings as the kernel allows a process, of a little shared memory.
func stall() error {
	const pages, size = 60000, 4096
	b, err := unix.Mmap(-1, 0, pages*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
	if err != nil {
		return err
	}
	for i := range stallPages {
		b[i*size] = 1
	}
	for i := 0; i < pages; i += 2 {
		if err := unix.Mprotect(b[i*size:(i+1)*size], unix.PROT_READ); err != nil {
			return err
		}
	}
	os.Stdout.WriteString("ready\n")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the test ends
	return nil
}

// stalling starts processes that are slow to look at, and gives a meter that has not
// counted them, and their numbers.
func stalling(t *testing.T, n int) (*meter, []string) {
	t.Helper()
	proc, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proc.Close() })
	m := &meter{proc: proc, page: int64(os.Getpagesize()), shared: shared{others: 0}}
	var pids []string
	for range n {
		c := exec.Command("/proc/self/exe")
		c.Env = append(os.Environ(), stallVariable+"=1", "GOMAXPROCS=1")
		c.Stderr = os.Stderr
		in, err1 := c.StdinPipe()
		out, err2 := c.StdoutPipe()
		if err1 != nil || err2 != nil || c.Start() != nil {
			t.Fatal(err1, err2)
		}
		t.Cleanup(func() { in.Close(); _ = c.Wait() })
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatalf("%q %v", line, err)
		}
		pids = append(pids, strconv.Itoa(c.Process.Pid))
	}
	return m, pids
}

// slow is far below what the supervisor waits for an answer: a count stays below however
// much there is to look at.
const slow = time.Second / 2

// TestManyMappings: a count of memory files ends in time, and misses nothing.
func TestManyMappings(t *testing.T) {
	const n = 16
	m, pids := stalling(t, n)
	if took := testenv.Work(t, func() { m.countFiles(pids) }); took > slow {
		t.Errorf("a count took %v", took)
	}
	const all = n * stallPages * 4096
	if m.files < all {
		t.Errorf("%d bytes were found, want %d", m.files, all)
	}
	// What it came not to is not more than the host has beside what is others'.
	m.shared.others = math.MaxInt64
	m.counted = time.Time{}
	m.countFiles(pids)
	if m.files >= all {
		t.Errorf("%d bytes were found, where all is others'", m.files)
	}
	took := testenv.Work(t, func() {
		if _, err := m.extents(pids, time.Now().Add(filesBudget)); err == nil {
			t.Error("the search came to an end: there is too little to look at")
		}
	})
	if took > slow {
		t.Errorf("a search took %v", took)
	}
}

// TestShares: of processes that the deadline leaves out all is their own, and nobody is
// asked about further ones when it is clear that there is too much.
func TestShares(t *testing.T) {
	empty, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	m := &meter{proc: empty}
	small, large := sample{pid: "x", private: 1 << 20}, sample{pid: "y", private: 1 << 30}
	if got := m.shares([]sample{small, large}, 2<<30, time.Time{}); got != 1<<30+1<<20 {
		t.Errorf("late: %d", got)
	}
	if got := m.shares([]sample{small, large}, 1<<20, time.Time{}); got != 1<<30 {
		t.Errorf("too much: %d", got)
	}
}

// TestManySockets: a count of buffers that the deadline interrupts goes on at the next
// call, and finds what one that is not interrupted finds.
func TestManySockets(t *testing.T) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		t.Fatal(err)
	}
	diag := os.NewFile(uintptr(fd), "diag")
	defer diag.Close()
	const pairs, size = 300, 64 << 10
	for range pairs {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fds[0])
		defer unix.Close(fds[1])
		if _, err := unix.Write(fds[0], make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	var s sockets
	calls := 1
	for s.count(diag, time.Time{}); s.step > 0 || s.asked; calls++ {
		s.count(diag, time.Time{})
	}
	if s.sum < pairs*size || calls <= len(lists()) {
		t.Errorf("%d bytes after %d calls", s.sum, calls)
	}
	s.count(diag, time.Now().Add(time.Minute))
	if s.sum < pairs*size || s.step != 0 || s.part != 0 {
		t.Errorf("%+v", s)
	}
}
