package otlp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"github.com/belljar-dev/belljar/internal/headers"
	"github.com/belljar-dev/belljar/internal/self"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/belljar-dev/belljar/internal/confine"
	"github.com/belljar-dev/belljar/internal/confine/calls"
	"golang.org/x/sys/unix"
)

// Argv0 is the name by which the program is the sender.
const Argv0 = "belljar-send"

// Reexec is the sender when args[0] says so: then it does not return. Otherwise it returns
// false.
func Reexec(args []string) bool {
	if len(args) != 4 || args[0] != Argv0 {
		return false
	}
	if err := runProcess(args[1], Destination{Endpoint: args[2], Headers: args[3]}, usual); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
	return true
}

// Start starts a sender for each receiver that something in the state folder waits for. It
// returns at once; where one runs already, the new one ends by itself.
func Start(state string) error {
	all, err := destinations(state)
	if err != nil || len(all) == 0 {
		return err
	}
	for _, d := range all {
		c := self.Command(os.Environ(), Argv0, state, d.Endpoint, d.Headers)
		if err := c.Start(); err != nil {
			return fmt.Errorf("start %s: %w", Argv0, err)
		}
		go func() { _ = c.Wait() }() // it outlives us as a rule
	}
	return nil
}

func runProcess(state string, d Destination, t times) error {
	if os.Geteuid() == 0 {
		return errors.New("the sender does not run as root")
	}
	if err := closeRest(); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE) // of somebody's terminal
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return err
	}
	h := headers.Open(d.Headers)
	if h.Err() != nil { // it could never send, and would keep away one that can
		return h.Err()
	}
	if err := confineTo(state); err != nil {
		return err
	}
	return exclusively(state, d, func() {
		s := newSender(state, d, t)
		s.headers = h
		s.run(context.Background())
	})
}

// confineTo leaves the process the records, what it writes down, and the internet: it
// reads text from inside and answers from elsewhere. The file with headers is open by then:
// nothing else beside it can be read.
func confineTo(state string) error {
	read := append(confine.System(os.Getenv), filepath.Join(state, "records"))
	return confine.Self(confine.Options{Read: read, Write: []string{filepath.Join(state, queueDir)}, Calls: calls.Options{Internet: true}})
}

// exclusively calls f while nobody else does for this receiver, as often as something waits
// that came when f had ended but nobody else could begin.
func exclusively(state string, d Destination, f func()) error {
	h := sha256.Sum256([]byte(d.Endpoint + "\n" + d.Headers))
	name := filepath.Join(state, queueDir, lockPrefix+hex.EncodeToString(h[:8]))
	for {
		lock, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return err
		}
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			return lock.Close()
		}
		if err != nil {
			return errors.Join(err, lock.Close())
		}
		before, _ := waiting(state)
		f()
		if err := lock.Close(); err != nil {
			return err
		}
		after, err := waiting(state)
		if err != nil || !slices.ContainsFunc(after, func(id string) bool { return !slices.Contains(before, id) }) {
			return err // what is left was there all the time, and could not be sent
		}
	}
}
