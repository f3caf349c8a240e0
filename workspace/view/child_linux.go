package view

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/inherited"
	"github.com/belljar-dev/belljar/internal/startup"
	"github.com/belljar-dev/belljar/workspace/before"
	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/shadow"
	"golang.org/x/sys/unix"
)

// Reexec is the server process: it does not return when args[0] is [Argv0], and
// returns false otherwise. Called first in main.
func Reexec(args []string) bool {
	if len(args) == 0 || args[0] != Argv0 {
		return false
	}
	startup.DelayGC(false)
	c := &child{sock: fdSocket, stop: make(chan struct{})}
	if err := c.run(); err != nil {
		_ = c.send((&packet{kind: msgFailed, text: err.Error()}).encode())
		os.Exit(1)
	}
	os.Exit(0)
	return true
}

// A child is the server process.
type child struct {
	sock   int
	sendMu sync.Mutex
	stop   chan struct{} // never closed: the process ends
	report *reporter
	trees  []*tree
}

func (c *child) run() error {
	unix.CloseOnExec(fdSocket)
	if err := inherited.Close(fdSocket); err != nil {
		return fmt.Errorf("close what the caller left open: %w", err)
	}
	cfg, roots, err := c.configuration()
	if err != nil {
		return err
	}
	// The kernel has applied the umask of whoever makes a file inside.
	syscall.Umask(0)
	c.report = newReporter(c.send)
	if err := c.setUp(cfg, roots); err != nil {
		return err
	}
	if err := confine(cfg); err != nil {
		return err
	}
	go c.report.run(c.stop)
	if err := c.send((&packet{kind: msgReady}).encode()); err != nil {
		return err
	}
	err = c.listen()
	_ = c.report.flush()
	for _, t := range c.trees {
		_ = t.endBefore() // undo goes by times where it is not complete
	}
	return err
}

// configuration waits for the configuration and the descriptor of each view's root. A
// server that was started ahead and is not needed ends here.
func (c *child) configuration() (*config, []int, error) {
	p, fds, err := c.receive(make([]byte, maxPacket), make([]byte, unix.CmsgSpace(maxViews*4)))
	if err != nil {
		os.Exit(0) // nobody wants it, or the supervisor is gone
	}
	if p.kind != msgConfig || len(fds) == 0 {
		return nil, nil, errPacket
	}
	f := os.NewFile(uintptr(fds[0]), "config")
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxConfiguration))
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration: %w", err)
	}
	cfg := new(config)
	if err := json.Unmarshal(b, cfg); err != nil {
		return nil, nil, fmt.Errorf("parse configuration: %w", err)
	}
	if roots := fds[1:]; len(roots) == len(cfg.Workspace.Views) {
		return cfg, roots, nil
	}
	return nil, nil, errPacket
}

const (
	// maxViews bounds the descriptors of one message; the kernel's own bound is 253.
	maxViews         = 253
	maxConfiguration = 64 << 20
)

// setUp opens every view.
func (c *child) setUp(cfg *config, roots []int) error {
	store, err := shadow.Create(cfg.Workspace.Shadow)
	if err == nil {
		err = store.Use()
	}
	if err != nil {
		return err
	}
	q := &quota{max: cfg.Disk, full: func(limit, used int64) {
		// Not from here: the supervisor may be slow, and a request waits.
		go func() { _ = c.send((&packet{kind: msgLimit, max: limit, used: used}).encode()) }()
	}}
	run := ""
	open := newFiles(fileLimit(), q)
	for i, v := range cfg.Workspace.Views {
		up, err := store.CreateView(v.Source)
		if err != nil {
			return err
		}
		if run == "" {
			run = before.RunName(up.TmpName())
		}
		r, err := rules.New(rules.ForView(&cfg.Workspace, i))
		if err != nil {
			return err
		}
		t := newTree(roots[i], up, r)
		t.quota, t.report, t.files, t.ids = q, c.report, open, cfg.Identity
		t.live = cfg.Workspace.Mode == belljar.ModeLive || cfg.Workspace.Mode == belljar.ModeWorktree
		t.readOnly = v.ReadOnly || cfg.Workspace.Mode == belljar.ModeReadOnly
		if keepsBefore(&cfg.Workspace) && !t.readOnly {
			if err := t.keepBefore(&cfg.Workspace, run); err != nil {
				return err
			}
		}
		if err := t.prepare(); err != nil {
			return fmt.Errorf("open %q: %w", v.Source, err)
		}
		c.trees = append(c.trees, t)
	}
	return nil
}

// fileLimit raises the limit of descriptors and says how many may be kept open,
// well below it: each request needs a few for itself.
func fileLimit() int {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return 256
	}
	r.Cur = r.Max
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return 256
	}
	return int(min(max(r.Cur/2, 64), 16384))
}

// prepare completes a tree from what its roots are.
func (t *tree) prepare() error {
	var low, up unix.Stat_t
	if err := unix.Fstat(t.lower, &low); err != nil {
		return err
	}
	if err := unix.Fstat(t.upTree, &up); err != nil {
		return err
	}
	t.otherDev = low.Dev != up.Dev
	root := t.nodes[1]
	root.ino, root.number = low.Ino, low.Ino
	t.shown[low.Ino] = root
	for _, rel := range t.upper.Promised() {
		t.sweep(rel)
	}
	return nil
}

// sweep removes what a server that was killed left beside a file of the host.
func (t *tree) sweep(rel string) {
	d, err := walk(t.lower, parentOf(rel))
	if err != nil {
		return
	}
	defer unix.Close(d)
	_ = unix.Unlinkat(d, baseName(rel), 0)
}

// listen takes devices from the supervisor until it is gone or wants us to be.
func (c *child) listen() error {
	buf, oob := make([]byte, maxPacket), make([]byte, 256)
	for {
		p, fds, err := c.receive(buf, oob)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = c.serve(&p, fds)
		}
		if err != nil {
			return err
		}
	}
}

// receive takes one packet and the descriptors that came with it; io.EOF when there
// will be no more.
func (c *child) receive(buf, oob []byte) (packet, []int, error) {
	for {
		n, on, _, _, err := unix.Recvmsg(c.sock, buf, oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return packet{}, nil, io.EOF
		}
		p, err := decode(buf[:n])
		if err != nil {
			return packet{}, nil, err
		}
		fds, err := rights(oob[:on])
		return p, fds, err
	}
}

func rights(oob []byte) ([]int, error) {
	m, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(m) != 1 {
		return nil, errors.Join(errPacket, err)
	}
	return unix.ParseUnixRights(&m[0])
}

// serve begins to answer the requests of a device.
func (c *child) serve(p *packet, fds []int) error {
	if p.kind != msgServe || len(fds) != 1 || p.view >= len(c.trees) {
		return fmt.Errorf("%w: no device came with the view", errPacket)
	}
	c.trees[p.view].serve(fds[0], c.stop)
	return c.send((&packet{kind: msgServed, view: p.view}).encode())
}

func (c *child) send(b []byte) error {
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	for {
		err := unix.Sendmsg(c.sock, b, nil, nil, unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return err
		}
	}
}
