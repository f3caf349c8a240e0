package gvisor

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/control/server"

	"github.com/belljar-dev/belljar/backend/internal/wire"
)

// donations are the descriptors that connect supervisor, gofer and sentry.
type donations struct {
	gofer    []*os.File
	goferFDs []string
	sink     *os.File // our end of the event sink
	linkPeer *os.File // the gateway's end of the link
}

func (d *donations) all() []*os.File {
	if d == nil {
		return nil
	}
	return append([]*os.File{d.sink, d.linkPeer}, d.gofer...)
}

// donate makes every descriptor that a sandbox needs. What belongs to the sentry
// goes into in, what belongs to the gofer into the result.
func (in *instance) donate(l *layout) (*donations, error) {
	d := &donations{}
	boot := func(flag string, f *os.File) {
		in.boot = append(in.boot, f)
		in.bootFDs = append(in.bootFDs, flag)
	}
	gofer := func(flag string, f *os.File) {
		d.gofer = append(d.gofer, f)
		d.goferFDs = append(d.goferFDs, flag)
	}
	var confs int
	in.confs, confs = l.mountConfs()
	for range confs {
		a, b, err := pair(unix.SOCK_STREAM)
		if err != nil {
			return d, err
		}
		boot("io-fds", a)
		gofer("io-fds", b)
	}
	// The gofer tells the mounts as it found them. Nobody listens: the sentry knows them
	// already and need not wait for it.
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return d, err
	}
	gofer("mounts-fd", null)
	// The gofer may ask for a mount source that it cannot open itself. Nobody
	// answers: it can open all of them, or the sandbox does not start.
	a, b, err := pair(unix.SOCK_STREAM)
	if err != nil {
		return d, err
	}
	a.Close()
	gofer("rpc-fd", b)
	var w *os.File
	if in.startup, w, err = os.Pipe(); err != nil {
		return d, err
	}
	boot("start-sync-fd", w)
	boot("controller-fd", in.ctl.listener)
	in.ctl.listener = nil
	if err := in.donateSink(d, boot); err != nil {
		return d, err
	}
	in.base = baseSpec(in.plan, l)
	spec, err := specFile(in.base)
	if err != nil {
		return d, err
	}
	gofer("spec-fd", spec)
	in.link, d.linkPeer, err = linkPair()
	return d, err
}

func (in *instance) donateSink(d *donations, boot func(string, *os.File)) error {
	mine, theirs, err := pair(unix.SOCK_SEQPACKET)
	if err != nil {
		return err
	}
	// A small buffer: what is not on record yet is bounded.
	for _, f := range []*os.File{mine, theirs} {
		_ = unix.SetsockoptInt(int(f.Fd()), unix.SOL_SOCKET, unix.SO_SNDBUF, 2*maxRecord)
	}
	d.sink = mine
	boot("sink-fds", theirs)
	conf, err := json.Marshal(sinkConfig(in.spec.MayExec != nil, scopeOf(in.plan)))
	if err != nil {
		return fmt.Errorf("encode the sink's configuration: %w", err)
	}
	f, err := wire.Memory("sink", conf)
	if err != nil {
		return err
	}
	boot("pod-init-config-fd", f)
	return nil
}

func pair(kind int) (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket"), nil
}

// startGofer lets the waiting gofer begin; it then waits for nothing but its own
// mounts, which the launcher has made before it started it.
func (in *instance) startGofer(sock *os.File, d *donations) error {
	defer sock.Close()
	dir := filepath.Dir(in.base.Root.Path)
	m := childMsg{Global: configFlags(in.o, dir), Args: goferArgs(in.confs), FDs: d.goferFDs}
	err := wire.Send(sock, m, d.gofer...)
	wire.CloseAll(d.gofer)
	d.gofer = nil
	return err
}

func listen(path string) (*os.File, error) {
	fd, err := server.CreateSocket(path)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", path, err)
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "controller"), nil
}
