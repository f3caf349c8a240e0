package guest

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// openTerminal makes a pseudo terminal of the sandbox's own kernel.
func openTerminal(rows, cols uint16) (master, slave *os.File, err error) {
	// Without the poller: reads then simply block, and nothing has to be woken.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	master = os.NewFile(uintptr(fd), "master")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil && rows > 0 && cols > 0 {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	}
	if err != nil {
		master.Close()
		return nil, nil, err
	}
	s, err := unix.Open("/dev/pts/"+strconv.Itoa(n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		master.Close()
		return nil, nil, err
	}
	return master, os.NewFile(uintptr(s), "slave"), nil
}

// relay copies between the terminal and the files that the supervisor holds.
func (h *helper) relay() {
	go h.input()
	go h.copyOutput()
}

func (h *helper) input() {
	buf := make([]byte, 32<<10)
	last := byte('\n')
	for {
		n, err := unix.Read(0, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n <= 0 {
			h.endOfInput(last)
			return
		}
		last = buf[n-1]
		if !writeAll(int(h.master.Fd()), buf[:n]) {
			return
		}
	}
}

// endOfInput types what ends the input at a terminal: at the start of a line the
// end-of-file character, elsewhere the same twice.
func (h *helper) endOfInput(last byte) {
	t, err := unix.IoctlGetTermios(int(h.master.Fd()), unix.TCGETS)
	if err != nil || t.Lflag&unix.ICANON == 0 {
		return // nobody would take it for an end
	}
	eof := []byte{t.Cc[unix.VEOF]}
	if last != '\n' && last != '\r' {
		eof = append(eof, eof[0])
	}
	writeAll(int(h.master.Fd()), eof)
}

func (h *helper) copyOutput() {
	buf := make([]byte, 32<<10)
	for h.readable(-1) && h.copySome(buf) {
	}
}

// readable waits for something to read or for the end, for so many milliseconds.
func (h *helper) readable(wait int) bool {
	p := []unix.PollFd{{Fd: int32(h.master.Fd()), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(p, wait)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return err == nil && n > 0
	}
}

// copySome copies what can be read now and says whether there may be more. Who
// holds the lock knows that nothing is between the terminal and the output.
func (h *helper) copySome(buf []byte) bool {
	h.copying.Lock()
	defer h.copying.Unlock()
	if !h.readable(0) {
		return true // another call has taken it
	}
	n, err := unix.Read(int(h.master.Fd()), buf)
	if errors.Is(err, unix.EINTR) {
		return true
	}
	return n > 0 && writeAll(1, buf[:n]) // EIO: nobody has the terminal open any more
}

func writeAll(fd int, b []byte) bool {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return false
		}
		b = b[n:]
	}
	return true
}

// drain copies what the terminal holds at the command's end. What a process that
// outlives the command goes on to print is not waited for.
func (h *helper) drain() {
	buf := make([]byte, 32<<10)
	for range 64 { // more than a terminal holds
		if !h.readable(20) || !h.copySome(buf) {
			break
		}
	}
	h.copying.Lock() // for good: what was read is written
}

func (h *helper) resize(rows, cols uint16) {
	if h.master == nil {
		return
	}
	_ = unix.IoctlSetWinsize(int(h.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
}
