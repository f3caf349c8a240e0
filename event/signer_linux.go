package event

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"github.com/belljar-dev/belljar/event/internal/early"
	"github.com/belljar-dev/belljar/event/internal/sign"
	"golang.org/x/sys/unix"
)

const signerAnswer = 30 // seconds that it may take

// Reexec is the process that signs for a [Record] that is made with [CreateOptions].Apart:
// it does not return when args[0] says so. Otherwise it returns false.
func Reexec(args []string) bool { return sign.Reexec(args) }

// A signer is our end of the process that has the user's key.
type signer struct {
	pid, socket int
	public      ed25519.PublicKey
}

// startSigner starts the process, or takes the one that was started ahead. The calling
// goroutine keeps its thread until it calls close.
func startSigner(state string) (headSigner, func(), error) {
	runtime.LockOSThread() // whose end would be the end of the process
	s := &signer{}
	var ok bool
	var err error
	if s.pid, s.socket, ok = early.Child.Take(); !ok {
		if err = s.fork(); err != nil {
			runtime.UnlockOSThread()
			return nil, nil, fmt.Errorf("start %s: %w", early.Argv0, err)
		}
	}
	_ = unix.SetsockoptTimeval(s.socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: signerAnswer})
	if s.public, err = s.ask([]byte(state), ed25519.PublicKeySize); err != nil {
		var refused refusedError
		if errors.As(err, &refused) {
			err = keyError(state, err)
		}
		s.close()
		return nil, nil, err
	}
	return s, s.close, nil
}

func (s *signer) fork() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pair[1])
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return errors.Join(err, unix.Close(pair[0]))
	}
	defer null.Close()
	s.socket = pair[0]
	s.pid, _, err = syscall.StartProcess("/proc/self/exe", []string{early.Argv0}, &syscall.ProcAttr{
		Dir: "/", Env: []string{early.Procs}, Sys: early.Attr(), Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), uintptr(pair[1])},
	})
	if err != nil {
		_ = unix.Close(pair[0])
	}
	return err
}

// close ends the process, with all that it knows.
func (s *signer) close() {
	_ = unix.Close(s.socket)
	_ = unix.Kill(s.pid, unix.SIGKILL) // ours: nobody has waited for it
	for {
		if _, err := unix.Wait4(s.pid, nil, 0, nil); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	runtime.UnlockOSThread()
}

func (s *signer) text() string { return base64.StdEncoding.EncodeToString(s.public) }

// signHead implements [headSigner]. What does not fit the key that was told is an error.
func (s *signer) signHead(message []byte) ([]byte, error) {
	sig, err := s.ask(message, ed25519.SignatureSize)
	if err == nil && !ed25519.Verify(s.public, message, sig) {
		err = errors.New("the signature does not fit")
	}
	return sig, err
}

// A refusedError is why the process does not do what it was asked.
type refusedError string

func (e refusedError) Error() string { return string(e) }

func (s *signer) ask(message []byte, size int) ([]byte, error) {
	if err := sign.Send(s.socket, message); err != nil {
		return nil, fmt.Errorf("ask %s: %w", early.Argv0, err)
	}
	b, err := sign.Receive(s.socket)
	switch why, refused := bytes.CutPrefix(b, []byte(sign.Refusal)); {
	case err != nil:
		return nil, fmt.Errorf("%s does not answer: %w", early.Argv0, err)
	case refused:
		return nil, refusedError(why)
	case len(b) != size:
		return nil, fmt.Errorf("%s answers something else", early.Argv0)
	}
	return b, nil
}
