package gvisor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	sentry "gvisor.dev/gvisor/pkg/sentry/control"
	"gvisor.dev/gvisor/pkg/sentry/kernel/auth"
	"gvisor.dev/gvisor/pkg/unet"
	"gvisor.dev/gvisor/pkg/urpc"
	"gvisor.dev/gvisor/runsc/boot"
	"gvisor.dev/gvisor/runsc/config"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/gvisor/internal/launch"
	"github.com/belljar-dev/belljar/backend/internal/wire"
)

// linkMTU is the largest size of an IP packet that a message carries.
const linkMTU = 65520

// A control speaks to the sentry's control server. Calls on one connection wait
// for each other, so a call that blocks gets a connection of its own.
type control struct {
	listener *os.File // until it is given to the sentry
	ask      *os.File // by which the launcher is asked for connections

	prompt time.Duration // within which the sentry answers what it need not wait for

	mu     sync.Mutex
	quick  *urpc.Client
	conns  map[*urpc.Client]bool
	closed bool
}

const (
	// prompt is far beyond what a sentry on a busy machine needs. Without a bound one
	// lost answer would leave the limit of processes unwatched for good.
	prompt = 30 * time.Second
)

func newControl(dir string) (*control, error) {
	l, err := listen(filepath.Join(dir, launch.ControlSocket))
	if err != nil {
		return nil, err
	}
	return &control{listener: l, prompt: prompt, conns: map[*urpc.Client]bool{}}, nil
}

var errClosed = errors.New("the sandbox has ended")

func (c *control) connect() (*urpc.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	sock, err := c.dialled()
	if err != nil {
		return nil, fmt.Errorf("connect to the sentry: %w", err)
	}
	conn := urpc.NewClient(sock)
	c.conns[conn] = true
	return conn, nil
}

// dialled has the launcher connect: this process may not. c.mu is held, and the end of the
// launcher ends the wait.
func (c *control) dialled() (*unet.Socket, error) {
	if err := wire.Send(c.ask, struct{}{}); err != nil {
		return nil, err
	}
	var answer launch.Dialled
	files, err := wire.Recv(c.ask, &answer)
	defer wire.CloseAll(files)
	switch {
	case err != nil:
		return nil, err
	case answer.Err != "":
		return nil, errors.New(answer.Err)
	case len(files) != 1:
		return nil, errors.New("the launcher sent no connection")
	}
	fd, err := unix.FcntlInt(files[0].Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	sock, err := unet.NewSocket(fd)
	if err != nil {
		unix.Close(fd)
	}
	return sock, err
}

func (c *control) release(conn *urpc.Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conns[conn] {
		delete(c.conns, conn)
		conn.Close()
	}
}

// call makes a call that does not block for long.
func (c *control) call(method string, arg, result any) error {
	c.mu.Lock()
	conn, closed := c.quick, c.closed
	c.mu.Unlock()
	if closed {
		return errClosed
	}
	if conn == nil {
		made, err := c.connect()
		if err != nil {
			return err
		}
		c.mu.Lock()
		if c.quick == nil {
			c.quick = made
		}
		conn = c.quick
		c.mu.Unlock()
		if conn != made {
			c.release(made)
		}
	}
	return c.bounded(conn, method, arg, result)
}

// bounded makes a call that the sentry answers at once. A connection that it leaves
// without an answer is given up, and the next call makes another.
func (c *control) bounded(conn *urpc.Client, method string, arg, result any) error {
	late := time.AfterFunc(c.prompt, func() { _ = conn.Socket.Close() })
	err := conn.Call(method, arg, result)
	if late.Stop() {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, conn)
	if c.quick == conn {
		c.quick = nil
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("the sentry did not answer within %v: %w", c.prompt, err)
}

// wait makes a call that may block as long as the sandbox lives.
func (c *control) wait(method string, arg, result any) error {
	return c.apart(func(conn *urpc.Client) error { return conn.Call(method, arg, result) })
}

// apart gives a call a connection of its own: no other waits for it.
func (c *control) apart(call func(*urpc.Client) error) error {
	conn, err := c.connect()
	if err != nil {
		return err
	}
	defer c.release(conn)
	return call(conn)
}

func (c *control) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	for conn := range c.conns {
		// Not the client's own Close, which waits for the call that is to be ended.
		_ = conn.Socket.Close()
	}
	c.conns = nil
	if c.ask != nil {
		c.ask.Close()
	}
	if c.listener != nil {
		c.listener.Close()
	}
}

func (c *control) startRoot() error {
	id := containerID
	return c.call(boot.ContMgrRootContainerStart, &id, nil)
}

func (c *control) waitInit() (unix.WaitStatus, error) {
	id := containerID
	var ws uint32
	err := c.wait(boot.ContMgrWait, &id, &ws)
	return unix.WaitStatus(ws), err
}

func (c *control) waitPID(pid int32) (unix.WaitStatus, error) {
	var ws uint32
	err := c.wait(boot.ContMgrWaitPID, &boot.WaitPIDArgs{PID: pid, CID: containerID}, &ws)
	return unix.WaitStatus(ws), err
}

// signal signals one process; pid 0 is the init process.
func (c *control) signal(pid int32, sig belljar.Signal) error {
	return c.call(boot.ContMgrSignal, &boot.SignalArgs{CID: containerID, Signo: int32(sig), PID: pid, Mode: boot.DeliverToProcess}, nil)
}

// signalGroup signals every process of a process group.
func (c *control) signalGroup(pgid int32, sig belljar.Signal) error {
	return c.call(boot.ContMgrSignal, &boot.SignalArgs{CID: containerID, Signo: int32(sig), PID: pgid, Mode: boot.DeliverToProcessGroup}, nil)
}

// An execution is a command for an already running sandbox.
type execution struct {
	path string
	argv []string
	env  []string
	dir  string
	fds  map[int]*os.File
}

func (c *control) execute(id belljar.Identity, e *execution) (int32, error) {
	args := &sentry.ExecArgs{
		Filename:         e.path,
		Argv:             e.argv,
		Envv:             e.env,
		WorkingDirectory: e.dir,
		KUID:             auth.KUID(id.UID),
		KGID:             auth.KGID(id.GID),
		Capabilities:     &auth.TaskCapabilities{},
		NoNewPrivileges:  true,
		FilePayload:      sentry.NewFilePayload(e.fds, nil),
		ContainerID:      containerID,
	}
	var pid int32
	if err := c.call(boot.ContMgrExecuteAsync, args, &pid); err != nil {
		return 0, err
	}
	return pid, nil
}

// memoryFile is the file that holds all memory of the sandbox: anonymous, shared,
// memfd and tmpfs alike. It is a duplicate of the sentry's own.
func (c *control) memoryFile() (*os.File, error) {
	var out sentry.MemoryUsageFile
	if err := c.call(boot.UsageUsageFD, &sentry.MemoryUsageFileOpts{Version: 1}, &out); err != nil {
		return nil, err
	}
	files := out.FilePayload.Files
	if len(files) != 2 {
		for _, f := range files {
			f.Close()
		}
		return nil, errors.New("the sentry sent no memory file")
	}
	files[0].Close()
	return files[1], nil
}

// tasks is the number of tasks.
func (c *control) tasks() (int, error) {
	id := containerID
	var out boot.EventOut
	// Not on the quick connection: signals must not wait for it.
	err := c.apart(func(conn *urpc.Client) error { return c.bounded(conn, boot.ContMgrEvent, &id, &out) })
	return int(out.Event.Data.Pids.Current), err
}

// setNetwork gives the sentry its only link, and the loopback.
func (c *control) setNetwork(link *os.File) error {
	v4 := prefix(netip.PrefixFrom(belljar.GuestIPv4, belljar.NamesIPv4.Bits()))
	v6 := prefix(netip.PrefixFrom(belljar.GuestIPv6, belljar.NamesIPv6.Bits()))
	args := &boot.CreateLinksAndRoutesArgs{
		LoopbackLinks: []boot.LoopbackLink{boot.DefaultLoopbackLink},
		FDBasedLinks: []boot.FDBasedLink{{
			Name:              "eth0",
			MTU:               linkMTU,
			Addresses:         []boot.IPWithPrefix{address(v4), address(v6)},
			Routes:            []boot.Route{route(v4), route(v6)},
			RXChecksumOffload: true, // a socket pair flips no bits
			TXChecksumOffload: true,
			QDisc:             config.QDiscNone,
			NumChannels:       1,
		}},
		Defaultv4Gateway: gateway("0.0.0.0/0", belljar.GatewayIPv4),
		Defaultv6Gateway: gateway("::/0", belljar.GatewayIPv6),
	}
	args.FilePayload.Files = []*os.File{link}
	return c.call(boot.ContMgrSetNetworkArgs, args, nil)
}

func prefix(p netip.Prefix) net.IPNet {
	return net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func address(n net.IPNet) boot.IPWithPrefix {
	ones, _ := n.Mask.Size()
	return boot.IPWithPrefix{Address: n.IP, PrefixLen: ones}
}

func route(n net.IPNet) boot.Route {
	return boot.Route{Destination: net.IPNet{IP: n.IP.Mask(n.Mask), Mask: n.Mask}}
}

func gateway(all string, via netip.Addr) boot.DefaultRoute {
	return boot.DefaultRoute{
		Name:  "eth0",
		Route: boot.Route{Destination: prefix(netip.MustParsePrefix(all)), Gateway: via.AsSlice()},
	}
}

// linkPair makes the link: one packet per message, with room for a burst.
func linkPair() (inner, outer *os.File, err error) {
	a, b, err := pair(unix.SOCK_SEQPACKET)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range []*os.File{a, b} {
		for _, o := range []int{unix.SO_SNDBUF, unix.SO_RCVBUF} {
			_ = unix.SetsockoptInt(int(f.Fd()), unix.SOL_SOCKET, o, 4<<20) // capped by the host's limit
		}
	}
	return a, b, nil
}
