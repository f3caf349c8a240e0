package verify

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
	"golang.org/x/sys/unix"
)

const (
	hogBytes   = 288 << 20 // the limit is 192 MiB
	diskBytes  = 96 << 20  // the limit is 64 MiB
	hogThreads = 200       // the limit is 80
	hogFiles   = 70_000
	hogTime    = 5 * time.Second // the limit is three seconds
)

// limitRows try to take more than they were given, up to a bound that harms nobody.
func limitRows() []row {
	return []row{
		{id: "limits/malloc", name: "288 MiB of memory where 192 MiB are allowed", phase: phaseMalloc, layer: layerLimits, own: true, do: func(*attacker) (bool, string) {
			return hog(func(n int) error {
				_, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_POPULATE)
				return err
			})
		}},
		{id: "limits/memfd", name: "the same in a memfd", phase: phaseMemfd, layer: layerLimits, own: true, do: func(*attacker) (bool, string) {
			fd, err := unix.MemfdCreate("hog", 0)
			if err != nil {
				return false, err.Error()
			}
			return hog(func(n int) error { _, err := unix.Write(fd, fill()[:n]); return err })
		}},
		{id: "limits/tmpfs", name: "the same in /dev/shm", phase: phaseTmpfs, layer: layerLimits, own: true, do: func(*attacker) (bool, string) {
			f, err := os.Create("/dev/shm/hog")
			if err != nil {
				return false, err.Error()
			}
			defer os.Remove("/dev/shm/hog")
			return hog(func(n int) error { _, err := f.Write(fill()[:n]); return err })
		}},
		{id: "limits/time", name: "five seconds where three are allowed", phase: phaseTime, layer: layerLimits, do: func(a *attacker) (bool, string) {
			a.pause(hogTime)
			return true, "five seconds are over"
		}},
		{id: "limits/disk", name: "96 MiB in the project where 64 MiB are allowed", phase: phaseLimits, layer: layerDisk, judge: judgement{host: func(w *world) (bool, string) {
			at := filepath.Join(w.project(), "hog")
			fi, err := os.Stat(at)
			ok := err == nil && fi.Size() >= diskBytes
			_ = os.Remove(at)
			return ok, fmt.Sprint(err)
		}}, do: func(a *attacker) (bool, string) {
			f, err := os.Create(a.path("hog"))
			if err != nil {
				return false, err.Error()
			}
			for n := 0; n < diskBytes; n += fillSize {
				if _, err := f.Write(fill()); err != nil {
					return false, err.Error()
				}
			}
			return f.Close() == nil, "written"
		}},
		{id: "limits/descriptors", name: "a descriptor beyond the seventy-thousandth", phase: phaseLimits, req: belljar.ReqFiles, own: true, do: manyFiles, excuse: func() string {
			var r unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err == nil && r.Max < hogFiles {
				return fmt.Sprintf("the caller's own hard limit is %d descriptors", r.Max)
			}
			return ""
		}},
		{id: "limits/processes", name: "200 threads where 80 are allowed", phase: phaseLimits, req: belljar.ReqPids, own: true, do: func(*attacker) (bool, string) {
			ready := make(chan bool)
			for range hogThreads {
				go func() {
					runtime.LockOSThread()
					ready <- true
					select {}
				}()
			}
			for range hogThreads {
				<-ready
			}
			b, err := os.ReadFile("/proc/self/status")
			for l := range strings.Lines(string(b)) {
				if strings.HasPrefix(l, "Threads:") {
					return true, l
				}
			}
			return false, fmt.Sprint(err)
		}},
	}
}

// fillSize is how much is written at a time.
const fillSize = 4 << 20

// fill is what is written: not zeros, which might be kept as a hole. It is made when
// it is needed first, because every process of belljar initialises this package.
var fill = sync.OnceValue(func() []byte {
	b := make([]byte, fillSize)
	for i := range b {
		b[i] = byte(i>>12) | 1
	}
	return b
})

// hog takes memory in small steps, so that a watcher has the time that a real
// program gives it.
func hog(take func(n int) error) (bool, string) {
	for n := 0; n < hogBytes; n += fillSize {
		if err := take(fillSize); err != nil {
			return false, err.Error()
		}
	}
	// What was taken stays for longer than any watcher sleeps.
	time.Sleep(2 * time.Second)
	return true, "all of it"
}

func manyFiles(*attacker) (bool, string) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return false, err.Error()
	}
	r.Cur = r.Max
	_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &r)
	// One high number stands for as many: the limit is on the number.
	if _, err := unix.FcntlInt(0, unix.F_DUPFD, hogFiles); err != nil {
		return false, err.Error()
	}
	return true, "it is open"
}

// terminalRows write to the user's terminal what it would obey.
func terminalRows() []row {
	write := func(id, what, seq string) row {
		return row{id: "terminal/" + id, name: what, phase: phaseTerminal, layer: layerFilter, judge: shown(seq), do: func(a *attacker) (bool, string) {
			a.say(seq + "\n")
			return true, ""
		}}
	}
	return []row{
		write("clipboard", "write the user's clipboard (OSC 52)", "\x1b]52;c;ZXZpbA==\x07"),
		write("title-report", "make the terminal type its title (CSI 21 t)", "\x1b[21t"),
		write("answer", "make the terminal answer by a string (DECRQSS)", "\x1bP$q\"p\x1b\\"),
		write("title-c1", "the same in 8-bit controls", "\u009b21t"),
		{id: "terminal/tiocsti", name: "type into the user's terminal (TIOCSTI)", phase: phaseTerminal, req: belljar.ReqTerminal,
			judge: judgement{host: func(w *world) (bool, string) {
				return w.said.of["terminal/tiocsti"].claim && w.ttyHeld != "", "a process of the sandbox has the user's terminal open: " + w.ttyHeld
			}}, do: func(*attacker) (bool, string) {
				for _, c := range []byte("evil") {
					if err := unix.IoctlSetPointerInt(0, unix.TIOCSTI, int(c)); err != nil {
						return false, err.Error()
					}
				}
				return true, "typed"
			}, excuse: sysctlIs("/proc/sys/dev/tty/legacy_tiocsti", "dev.tty.legacy_tiocsti", "0")},
	}
}
