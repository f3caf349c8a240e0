package sign

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/belljar-dev/belljar/event/internal/early"
	"github.com/belljar-dev/belljar/internal/inherited"
	"golang.org/x/sys/unix"
)

const (
	// MaxMessage is how long a message may be, in bytes.
	MaxMessage = 128 << 10
	// Refusal begins an answer that says why; a key and a signature are of other lengths.
	Refusal = "no: "

	fdSocket = 3
)

// The reason for an init function: see the package's documentation.
func init() { Reexec(os.Args) }

// Reexec is the process that signs: it does not return when args[0] says so. Otherwise it
// returns false.
func Reexec(args []string) bool {
	if len(args) == 0 || args[0] != early.Argv0 {
		return false
	}
	unix.CloseOnExec(fdSocket)
	if inherited.Close(fdSocket) != nil || unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) != nil {
		os.Exit(1)
	}
	if serve(fdSocket) != nil {
		os.Exit(1)
	}
	os.Exit(0)
	return true
}

// serve is told the state folder, answers with the public key, and signs anchors until
// the socket is closed.
func serve(fd int) error {
	state, err := Receive(fd)
	if err != nil {
		return ignoreEOF(err)
	}
	key, err := Open(string(state))
	if err != nil {
		return Send(fd, []byte(Refusal+err.Error()))
	}
	if err := Send(fd, key.Public()); err != nil {
		return err
	}
	for {
		message, err := Receive(fd)
		if err != nil {
			return ignoreEOF(err)
		}
		answer := []byte(Refusal + "it signs anchors only")
		if bytes.HasPrefix(message, []byte(SignedHead)) {
			answer = key.Sign(message)
		}
		if err := Send(fd, answer); err != nil {
			return err
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Send sends one message.
func Send(fd int, b []byte) error {
	if len(b) == 0 || len(b) > MaxMessage {
		return fmt.Errorf("a message of %d bytes", len(b))
	}
	for {
		if err := unix.Send(fd, b, unix.MSG_NOSIGNAL); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Receive waits for one message.
func Receive(fd int) ([]byte, error) {
	b := make([]byte, MaxMessage)
	for {
		n, err := unix.Read(fd, b)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && n == 0 {
			err = io.EOF
		}
		return b[:max(n, 0)], err
	}
}
