package view

import (
	"sync"

	"github.com/belljar-dev/belljar/workspace/view/internal/early"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// workers is how many requests of one view are answered at the same time.
const workers = early.Workers

// serve answers the kernel on dev, from goroutines of its own, until the file
// system is unmounted.
func (t *tree) serve(dev int, stop <-chan struct{}) {
	t.note = newNotifier(dev)
	go t.note.run(stop)
	if w, err := newWatcher(t); err == nil {
		t.watch = w
		go w.run()
	}
	ps := fuse.NewProtocolServer(t, t.options())
	crew := newCrew()
	first := make(chan struct{})
	settled := sync.OnceFunc(func() { close(first) })
	for i := range workers {
		go func() {
			if i > 0 {
				<-first // the first request settles the protocol and comes alone
			}
			t.answer(ps, dev, crew, settled)
		}()
	}
}

// answer is one worker: read a request, write the reply.
func (t *tree) answer(ps *fuse.ProtocolServer, dev int, crew *crew, answered func()) {
	in, out := make([]byte, maxIO+64<<10), make([]byte, maxIO+64<<10)
	vi, vo := [][]byte{nil}, [][]byte{out}
	for crew.wait() {
		n, err := readRequest(dev, in)
		if err != nil { // ENODEV: unmounted
			crew.end()
			answered()
			return
		}
		crew.took()
		vi[0] = in[:n]
		k, _ := ps.HandleRequest(vi, vo)
		if k > 0 {
			// ENOENT says that the caller is gone.
			_, _ = unix.Write(dev, out[:k])
		}
		answered()
	}
}

// readRequest reads one request.
func readRequest(dev int, b []byte) (int, error) {
	for {
		n, err := unix.Read(dev, b)
		switch err {
		case unix.EINTR, unix.ENOENT, unix.EAGAIN: // ENOENT: the request was interrupted
			continue
		}
		return n, err
	}
}
