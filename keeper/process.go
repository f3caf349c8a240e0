package keeper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"github.com/belljar-dev/belljar/internal/self"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar/credential/login"
	"golang.org/x/sys/unix"
)

// Argv0 is the name by which the program is the keeper, Argv0Refresh the one by which it
// replaces one token and ends.
const (
	Argv0        = "belljar-keeper"
	Argv0Refresh = "belljar-keeper-refresh"
)

// startTime is how long a keeper may take to begin.
const startTime = 20 * time.Second

// Reexec is the keeper, or what replaces a token, when args[0] says so: then it does not
// return. Otherwise it returns false.
func Reexec(args []string) bool {
	return reexec(args, newRefresher, harden)
}

func reexec(args []string, r func(state string) *refresher, harden func() error) bool {
	if len(args) < 4 || args[0] != Argv0 && args[0] != Argv0Refresh && args[0] != Argv0Door {
		return false
	}
	o := Options{Runtime: args[1], State: args[2], Home: args[3], Env: os.Environ()}
	if args[0] == Argv0Door { // the keeper looks at it: it must not be closed to it
		if len(args) != 5 || noCore() != nil || runDoor(o, args[4]) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	err := harden()
	switch {
	case err != nil:
	case args[0] == Argv0:
		err = run(o)
	default:
		err = replaceOne(r(o.State))
	}
	if err != nil {
		os.Exit(1)
	}
	os.Exit(0)
	return true
}

// harden keeps the process out of core dumps and from being root.
func harden() error {
	if os.Geteuid() == 0 {
		return errors.New("the keeper does not run as root")
	}
	if err := noCore(); err != nil {
		return err
	}
	return private()
}

func noCore() error { return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }

// run is the keeper. It tells on its standard output that somebody answers on the socket.
func run(o Options) error {
	name := nameFor(o.Home)
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE) // of somebody's terminal
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	lock, another, err := own(ctx, o.Runtime, name)
	if err != nil {
		return err
	}
	if !another {
		defer lock.Close()
		var l *net.UnixListener
		if l, err = listen(o.Runtime, name); err != nil {
			return err
		}
		defer os.Remove(filepath.Join(o.Runtime, name)) // before the lock is given back
		_ = tellReady()
		s := &server{idle: idleTime, logins: &logins{
			refresh: processRefresh(o), now: time.Now, burst: burst, all: map[string]*one{},
		}}
		s.serve(context.WithoutCancel(ctx), l)
		return nil
	}
	return tellReady()
}

func tellReady() error {
	_, err := os.Stdout.WriteString("ready\n")
	return errors.Join(err, os.Stdout.Close())
}

// spawn starts a keeper and waits until one answers.
func (o *Options) spawn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	c := o.command(Argv0)
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	ready := make(chan error, 1)
	go func() {
		line, err := io.ReadAll(io.LimitReader(out, 64))
		if err == nil && string(line) != "ready\n" {
			err = errors.New("it ended at once")
		}
		ready <- err
		_ = c.Wait() // it outlives us as a rule
	}()
	select {
	case err := <-ready:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// command is this program as another one, away from the terminal and what else the
// caller has.
func (o *Options) command(name string) *exec.Cmd {
	return self.Command(o.Env, name, o.Runtime, o.State, o.Home)
}

// processRefresh carries out jobs in processes of their own.
func processRefresh(o Options) func(context.Context, job) error {
	return func(_ context.Context, j job) error {
		b, err := json.Marshal(j)
		if err != nil {
			return err
		}
		c := o.command(Argv0Refresh)
		c.Stdin = bytes.NewReader(b)
		var out bytes.Buffer
		c.Stdout = &out
		if err := c.Start(); err != nil {
			return unsentError{fmt.Errorf("start what asks the provider: %w", err)}
		}
		if err := c.Wait(); err != nil {
			return fmt.Errorf("what asks the provider failed: %w", err)
		}
		var e ending
		if err := json.Unmarshal(out.Bytes(), &e); err != nil {
			return errors.New("what asks the provider broke off")
		}
		return e.err()
	}
}

// An ending is how a job ended.
type ending struct {
	Error    string `json:"error,omitempty"`
	Ended    bool   `json:"ended,omitempty"`
	Accepted bool   `json:"accepted,omitempty"` // errAccepted
	Unsent   bool   `json:"unsent,omitempty"`   // unsentError
}

func endingOf(err error) (e ending) {
	var unsent unsentError
	if err != nil {
		e.Error = err.Error()
	}
	e.Ended, e.Accepted, e.Unsent = errors.Is(err, login.ErrEnded), errors.Is(err, errAccepted), errors.As(err, &unsent)
	return e
}

func (e *ending) err() error {
	switch {
	case e.Ended:
		return login.ErrEnded
	case e.Accepted:
		return errAccepted
	case e.Unsent:
		return unsentError{errors.New(e.Error)}
	case e.Error != "":
		return errors.New(e.Error)
	}
	return nil
}

// replaceOne carries out the job on standard input.
func replaceOne(r *refresher) error {
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE) // it ends by itself, soon
	b, err := io.ReadAll(io.LimitReader(os.Stdin, maxRequest))
	if err != nil {
		return err
	}
	var j job
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	b, err = json.Marshal(endingOf(r.run(context.Background(), j)))
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(b)
	return err
}
