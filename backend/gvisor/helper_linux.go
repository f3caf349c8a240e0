package gvisor

import (
	"errors"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/gvisor/internal/guest"
)

// A helper is the supervisor's hold on a guest helper. A nil one stands for a
// command that needs none.
type helper struct {
	inner *os.File // until it is given away

	mu    sync.Mutex
	outer *os.File
}

// helperThreads is what a helper needs beyond the command's own processes.
const helperThreads = 16

// helper makes what c needs: a helper around it when it wants a terminal or when
// ports are listened on, else c itself.
func (in *instance) helper(c *belljar.Command, ports []uint16) (*helper, belljar.Exec, error) {
	if !c.TTY && len(ports) == 0 {
		return nil, c.Exec, nil
	}
	inner, outer, err := pair(unix.SOCK_STREAM)
	if err != nil {
		return nil, c.Exec, err
	}
	_ = unix.SetNonblock(int(outer.Fd()), true) // a helper that does not read is its own loss
	s := guest.Start{
		TTY: c.TTY, Rows: c.Size.Rows, Cols: c.Size.Cols,
		Listen: ports, Relay: belljar.LocalhostIPv4.String(),
		Path: c.Path, Argv: c.Argv,
	}
	e := belljar.Exec{Path: guest.Path, Argv: s.Args(), Dir: c.Dir}
	return &helper{inner: inner, outer: outer}, e, nil
}

// localhost are the ports of the host's loopback that the policy names.
func (in *instance) localhost() []uint16 {
	var ports []uint16
	for _, r := range in.plan.Network.Rules {
		if r.Host == belljar.Localhost {
			ports = append(ports, r.Ports...)
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

func (h *helper) processes() int {
	if h == nil {
		return 0
	}
	return helperThreads
}

// started drops our copy of the helper's end.
func (h *helper) started() {
	if h != nil && h.inner != nil {
		h.inner.Close()
		h.inner = nil
	}
}

func (h *helper) order(o guest.Order) error {
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

func (h *helper) close() {
	if h == nil {
		return
	}
	h.started()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.outer != nil {
		h.outer.Close()
		h.outer = nil
	}
}
