package keeper

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
)

// Argv0Door is the name by which the program asks the keeper on behalf of a supervisor.
const Argv0Door = "belljar-keeper-door"

const fdDoor = 3

// A Known login is one that a supervisor may ask for.
type Known struct {
	Login string `json:"login"`
	File  string `json:"file"`
}

// Detach has a process of its own speak to the keeper from now on, and start it where
// that is needed, so that this one may be confined: it connects to nothing and starts
// nothing for logins any more, as long as that process lives. That process asks for access tokens of the logins in known
// and for nothing else, whatever becomes of this one; it ends with it, or with Close.
func (c *Client) Detach(known []Known) error {
	list, err := json.Marshal(known)
	if err != nil {
		return err
	}
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return fmt.Errorf("make a socket pair: %w", err)
	}
	theirs, mine := os.NewFile(uintptr(fds[1]), Argv0Door), os.NewFile(uintptr(fds[0]), Argv0Door)
	defer theirs.Close()
	defer mine.Close()
	conn, err := net.FileConn(mine)
	if err != nil {
		return err
	}
	p := c.o.command(Argv0Door)
	p.Args = append(p.Args, string(list))
	p.ExtraFiles = []*os.File{theirs}
	if err := p.Start(); err != nil {
		_ = conn.Close()
		return fmt.Errorf("start %s: %w", Argv0Door, err)
	}
	go func() { _ = p.Wait() }()
	c.busy <- struct{}{}
	defer func() { <-c.busy }()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop()
	c.conn, c.in = conn, bufio.NewReader(conn)
	return nil
}

// runDoor is the process: it answers until the supervisor has gone.
func runDoor(o Options, list string) error {
	var known []Known
	if err := json.Unmarshal([]byte(list), &known); err != nil {
		return err
	}
	syscall.CloseOnExec(fdDoor)
	if err := closeRest(fdDoor); err != nil {
		return err
	}
	f := os.NewFile(fdDoor, "supervisor")
	c := NewClient(o)
	defer c.Close()
	return answerDoor(f, c.ask, known)
}

// answerDoor answers requests on conn by asking, those that known allows.
func answerDoor(conn io.ReadWriter, ask func(context.Context, request) (reply, error), known []Known) error {
	in := bufio.NewReader(conn)
	for {
		line, err := readLine(in, maxRequest)
		if err != nil {
			return err
		}
		q, _, err := parseRequest(line)
		if err == nil && (q.Op != opToken || !slices.Contains(known, Known{q.Login, q.File})) {
			err = errors.New("that login is not this sandbox's")
		}
		var r reply
		if err == nil {
			r, err = ask(context.Background(), q)
		}
		if err != nil {
			r = reply{Error: err.Error()}
		}
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if _, err := conn.Write(append(b, '\n')); err != nil {
			return err
		}
	}
}
