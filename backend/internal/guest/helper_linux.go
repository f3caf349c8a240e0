package guest

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
)

// HelperThreads is what a helper needs beyond the command's own processes.
const HelperThreads = 16

// A Helper is the supervisor's hold on a guest helper. A nil one stands for a
// command that needs none. Its methods are safe for concurrent use.
type Helper struct {
	mu    sync.Mutex
	inner *os.File // until it is given away
	outer *os.File
}

// NewHelper makes what c needs: a helper around it when it wants a terminal or
// when ports are listened on, else c itself.
func NewHelper(c *belljar.Command, ports []uint16) (*Helper, belljar.Exec, error) {
	if !c.TTY && len(ports) == 0 {
		return nil, c.Exec, nil
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, c.Exec, fmt.Errorf("make a socket pair: %w", err)
	}
	_ = unix.SetNonblock(fds[1], true) // a helper that does not read is its own loss
	s := Start{
		TTY: c.TTY, Rows: c.Size.Rows, Cols: c.Size.Cols,
		Listen: ports, Relay: belljar.LocalhostIPv4.String(),
		Path: c.Path, Argv: c.Argv,
	}
	h := &Helper{inner: os.NewFile(uintptr(fds[0]), "helper"), outer: os.NewFile(uintptr(fds[1]), "helper")}
	return h, belljar.Exec{Path: Path, Argv: s.Args(), Dir: c.Dir}, nil
}

// Control is the helper's descriptor [FDControl], until [Helper.Started].
func (h *Helper) Control() *os.File { return h.inner }

// Processes is how many more processes and threads the command's limit allows for.
func (h *Helper) Processes() int {
	if h == nil {
		return 0
	}
	return HelperThreads
}

// Started drops our copy of the helper's end.
func (h *Helper) Started() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.inner != nil {
		h.inner.Close()
		h.inner = nil
	}
}

// Order asks the helper for something; it returns [os.ErrProcessDone] when the
// helper is gone.
func (h *Helper) Order(o Order) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.outer == nil {
		return os.ErrProcessDone
	}
	_, err := unix.Write(int(h.outer.Fd()), o.Encode())
	if errors.Is(err, unix.EPIPE) {
		return os.ErrProcessDone
	}
	return err
}

// Close lets go of the helper. Idempotent.
func (h *Helper) Close() {
	if h == nil {
		return
	}
	h.Started()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.outer != nil {
		h.outer.Close()
		h.outer = nil
	}
}
