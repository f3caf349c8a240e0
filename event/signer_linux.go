package event

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"

	"github.com/belljar-dev/belljar/event/internal/early"
	"github.com/belljar-dev/belljar/internal/inherited"
	"golang.org/x/sys/unix"
)

const (
	fdSigner     = 3
	maxSigned    = 128 << 10 // bytes of a message
	signerAnswer = 30        // seconds that it may take
	refusal      = "no: "    // begins an answer that says why; a key and a signature are of other lengths
)

// Reexec is the process that signs for a [Record] that is made with [CreateOptions].Apart:
// it does not return when args[0] says so. Otherwise it returns false.
func Reexec(args []string) bool {
	if len(args) == 0 || args[0] != early.Argv0 {
		return false
	}
	unix.CloseOnExec(fdSigner)
	if inherited.Close(fdSigner) != nil || unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) != nil {
		os.Exit(1)
	}
	if serveSigner(fdSigner) != nil {
		os.Exit(1)
	}
	os.Exit(0)
	return true
}

// serveSigner is told the state folder, answers with the public key, and signs anchors until
// the socket is closed.
func serveSigner(fd int) error {
	state, err := receive(fd)
	if err != nil {
		return ignoreEOF(err)
	}
	key, err := OpenKey(string(state))
	if err != nil {
		return send(fd, []byte(refusal+err.Error()))
	}
	if err := send(fd, key.Public()); err != nil {
		return err
	}
	for {
		message, err := receive(fd)
		if err != nil {
			return ignoreEOF(err)
		}
		answer := []byte(refusal + "it signs anchors only")
		if bytes.HasPrefix(message, []byte(signedHead)) {
			answer = key.Sign(message)
		}
		if err := send(fd, answer); err != nil {
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
		Dir: "/", Env: []string{}, Sys: early.Attr(), Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), uintptr(pair[1])},
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

func (s *signer) ask(message []byte, size int) ([]byte, error) {
	if err := send(s.socket, message); err != nil {
		return nil, fmt.Errorf("ask %s: %w", early.Argv0, err)
	}
	b, err := receive(s.socket)
	switch why, refused := bytes.CutPrefix(b, []byte(refusal)); {
	case err != nil:
		return nil, fmt.Errorf("%s does not answer: %w", early.Argv0, err)
	case refused:
		return nil, errors.New(string(why))
	case len(b) != size:
		return nil, fmt.Errorf("%s answers something else", early.Argv0)
	}
	return b, nil
}

func send(fd int, b []byte) error {
	if len(b) == 0 || len(b) > maxSigned {
		return fmt.Errorf("a message of %d bytes", len(b))
	}
	for {
		if err := unix.Send(fd, b, unix.MSG_NOSIGNAL); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func receive(fd int) ([]byte, error) {
	b := make([]byte, maxSigned)
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
