package keeper

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/belljar-dev/belljar/internal/peer"
	"golang.org/x/sys/unix"
)

// nameFor is what the socket of the keeper for home is called; its lock has ".lock" behind.
func nameFor(home string) string { return "keeper-" + Hash(home)[:8] }

const (
	// idleTime is how long a keeper without a client lives.
	idleTime = 5 * time.Second
	// maxClients are connections at a time, writeTime is what a client has to take a
	// reply.
	maxClients = 1024
	writeTime  = 10 * time.Second
)

// A server is the keeper's side of the socket.
type server struct {
	logins *logins
	idle   time.Duration
	heads  heads

	mu    sync.Mutex
	conns map[net.Conn]bool
	empty *time.Timer // runs while there is no client
}

// listen makes the socket in the private folder dir, for whoever holds its lock.
func listen(dir, name string) (*net.UnixListener, error) {
	_ = os.Remove(filepath.Join(dir, name)) // of one that was killed
	return peer.Listen(dir, name)
}

// serve answers on l until there was no client for s.idle, or ctx ends.
func (s *server) serve(ctx context.Context, l *net.UnixListener) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.conns = map[net.Conn]bool{}
	s.empty = time.AfterFunc(s.idle, cancel)
	s.mu.Unlock()
	var wait sync.WaitGroup
	defer wait.Wait()
	stop := context.AfterFunc(ctx, func() {
		_ = l.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			_ = c.Close()
		}
	})
	defer stop()
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			if wait := time.NewTimer(lockAgain); true { // no descriptors, say
				<-wait.C
			}
			continue
		}
		if _, err := peer.Check(c); err != nil || !s.enter(c) {
			_ = c.Close()
			continue
		}
		wait.Go(func() {
			defer s.leave(c)
			s.talk(ctx, c)
		})
	}
}

func (s *server) enter(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= maxClients {
		return false
	}
	s.conns[c] = true
	s.empty.Stop()
	return true
}

func (s *server) leave(c net.Conn) {
	_ = c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 {
		s.empty.Reset(s.idle)
	}
}

// talk answers one client, request by request.
func (s *server) talk(ctx context.Context, c net.Conn) {
	in := bufio.NewReaderSize(c, 4<<10)
	for ctx.Err() == nil {
		line, err := readLine(in, maxRequest)
		if err != nil {
			return
		}
		var answer any
		if h, ok := s.heads.answer(line); ok {
			answer = h
		} else {
			answer = s.logins.answer(ctx, line)
		}
		b, err := json.Marshal(answer)
		if err != nil {
			return
		}
		_ = c.SetWriteDeadline(time.Now().Add(writeTime))
		if _, err := c.Write(append(b, '\n')); err != nil {
			return
		}
	}
}

// own takes the lock that one keeper of a user holds, or says that another one answers.
func own(ctx context.Context, dir, name string) (lock *os.File, another bool, err error) {
	f, err := os.OpenFile(filepath.Join(dir, name+".lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, false, err
	}
	for {
		err := flock(f, unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return f, false, nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			_ = f.Close()
			return nil, false, err
		}
		if c, err := dial(ctx, dir, name); err == nil {
			_ = c.Close()
			_ = f.Close()
			return nil, true, nil
		}
		if err := wait(ctx, lockAgain); err != nil { // it begins, or ends
			_ = f.Close()
			return nil, false, err
		}
	}
}

func dial(ctx context.Context, dir, name string) (net.Conn, error) {
	at, done, err := peer.Reach(dir, name)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	return d.DialContext(ctx, "unix", at)
}
