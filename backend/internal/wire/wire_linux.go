package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// maxInline is the largest body that is put into the packet itself.
	maxInline = 16 << 10
	// maxBody bounds what Recv reads from a memory file.
	maxBody = 64 << 20
	// maxFiles is the kernel's limit of descriptors per message (SCM_MAX_FD).
	maxFiles = 253
)

// Pair makes a connected pair of sockets, close-on-exec.
func Pair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "wire"), os.NewFile(uintptr(fds[1]), "wire"), nil
}

// Send sends v and duplicates of files. It does not close them.
func Send(sock *os.File, v any, files ...*os.File) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a message: %w", err)
	}
	head := []byte{'i'}
	if len(body) > maxInline {
		mem, err := Memory("message", body)
		if err != nil {
			return err
		}
		defer mem.Close()
		files = append(append([]*os.File{}, files...), mem)
		head, body = []byte{'m'}, nil
	}
	if len(files) > maxFiles {
		return fmt.Errorf("send %d descriptors: at most %d fit one message", len(files), maxFiles)
	}
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	return control(sock, func(fd int) error {
		_, err := unix.SendmsgN(fd, append(head, body...), oob, nil, unix.MSG_NOSIGNAL)
		return err
	})
}

// Recv receives one message into v and returns its files, which the caller owns.
// It returns io.EOF when the other side is gone.
func Recv(sock *os.File, v any) ([]*os.File, error) {
	buf := make([]byte, maxInline+1)
	oob := make([]byte, unix.CmsgSpace(maxFiles*4))
	var n, on, flags int
	err := control(sock, func(fd int) (err error) {
		n, on, flags, _, err = unix.Recvmsg(fd, buf, oob, unix.MSG_CMSG_CLOEXEC)
		return err
	})
	if err != nil {
		if errors.Is(err, unix.ECONNRESET) {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("receive a message: %w", err)
	}
	files, err := rights(oob[:on])
	if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = errors.New("a message was cut")
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	body := buf[:n]
	if err == nil {
		files, body, err = unpack(body, files)
	}
	if err == nil {
		err = json.Unmarshal(body, v)
	}
	if err != nil {
		CloseAll(files)
		return nil, err
	}
	return files, nil
}

func unpack(b []byte, files []*os.File) ([]*os.File, []byte, error) {
	switch {
	case b[0] == 'i':
		return files, b[1:], nil
	case b[0] == 'm' && len(files) > 0:
		mem := files[len(files)-1]
		defer mem.Close()
		body, err := ReadMemory(mem)
		return files[:len(files)-1], body, err
	}
	return files, nil, errors.New("a message has no body")
}

func rights(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("parse control message: %w", err)
	}
	var files []*os.File
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			continue // not rights: nothing to take
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

// control runs f on sock's descriptor and repeats it when a signal interrupts.
func control(sock *os.File, f func(fd int) error) error {
	for {
		if err := f(int(sock.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Memory makes a read-only memory file with the given content.
func Memory(name string, b []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make a memory file: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.WriteAt(b, 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("write a memory file: %w", err)
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		f.Close()
		return nil, fmt.Errorf("seal a memory file: %w", err)
	}
	return f, nil
}

// ReadMemory reads a file made by [Memory], whatever its offset.
func ReadMemory(f *os.File) ([]byte, error) {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxBody))
	if err != nil {
		return nil, fmt.Errorf("read a memory file: %w", err)
	}
	return b, nil
}

// CloseAll closes files; nil ones are skipped.
func CloseAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
