package gvisor

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/backend/gvisor/internal/launch"
	"github.com/belljar-dev/belljar/backend/internal/wire"
)

// unanswered is a control whose sentry accepts no connection and answers nothing.
func unanswered(t *testing.T) *control {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "belljar-control-") // a socket's address is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c, err := newControl(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	if err := unix.Listen(int(c.listener.Fd()), 8); err != nil {
		t.Fatal(err)
	}
	mine, theirs, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	c.ask = mine
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		launcherDials(theirs, filepath.Join(dir, launch.ControlSocket))
	}()
	t.Cleanup(func() { c.close(); <-gone })
	return c
}

// launcherDials connects as the launcher does, until nobody asks any more.
func launcherDials(asked *os.File, path string) {
	defer asked.Close()
	for {
		var none struct{}
		if _, err := wire.Recv(asked, &none); err != nil {
			return
		}
		conn, err := net.Dial("unix", path)
		if err != nil {
			_ = wire.Send(asked, launch.Dialled{Err: err.Error()})
			continue
		}
		f, _ := conn.(*net.UnixConn).File()
		_ = wire.Send(asked, launch.Dialled{}, f)
		f.Close()
		conn.Close()
	}
}

// A connection that the launcher cannot make is an error that says why, and so is a
// launcher that has gone.
func TestControlWithoutConnection(t *testing.T) {
	c := unanswered(t)
	c.listener.Close()
	if err := c.startRoot(); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody listens: %v", err)
	}
	mine, theirs, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	theirs.Close()
	gone := &control{ask: mine, prompt: prompt}
	if err := gone.startRoot(); err == nil {
		t.Error("a launcher that has gone connects")
	}
}

// A sandbox ends whatever the sentry still owes.
func TestControlCloseEndsCalls(t *testing.T) {
	c := unanswered(t)
	const calls = 3
	ended := make(chan error, calls)
	go func() { _, err := c.tasks(); ended <- err }()
	go func() { ended <- c.startRoot() }()
	go func() { _, err := c.waitInit(); ended <- err }()
	for made := 0; made < calls; {
		c.mu.Lock()
		made = len(c.conns)
		c.mu.Unlock()
		select {
		case err := <-ended:
			t.Fatalf("a call ended without an answer: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	c.close()
	for range calls {
		if err := <-ended; err == nil {
			t.Error("a call without an answer succeeded")
		}
	}
}

// What is to be answered at once is given up when it is not, and asked again on
// another connection.
func TestControlGivesUp(t *testing.T) {
	c := unanswered(t)
	c.prompt = 20 * time.Millisecond
	for range 2 {
		if _, err := c.tasks(); err == nil || !strings.Contains(err.Error(), "did not answer within") {
			t.Errorf("tasks: %v", err)
		}
		if err := c.startRoot(); err == nil || !strings.Contains(err.Error(), "did not answer within") {
			t.Errorf("start: %v", err)
		}
	}
	if len(c.conns) != 0 || c.quick != nil {
		t.Errorf("%d connections are kept", len(c.conns))
	}
}
