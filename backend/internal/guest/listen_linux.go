package guest

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// This file speaks to sockets by system calls: package net would delay the early
// start of the roles that share a program with the helper (its own imports are the
// last ones that Go initialises).

// listen listens on the loopback's ports before the command starts, so that it
// finds them at once.
func (h *helper) listen() error {
	relay, err := netip.ParseAddr(h.start.Relay)
	if len(h.start.Listen) > 0 && err != nil {
		return err
	}
	for _, port := range h.start.Listen {
		for _, host := range []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
			l, err := listenTCP(netip.AddrPortFrom(host, port))
			if err != nil {
				return err
			}
			go serve(l, netip.AddrPortFrom(relay, port))
		}
	}
	return nil
}

func serve(l *os.File, to netip.AddrPort) {
	for {
		c, err := accept(l)
		if err != nil {
			return
		}
		go relayConn(c, to)
	}
}

// relayConn copies both ways; the end of one direction is passed on as such.
func relayConn(c *os.File, to netip.AddrPort) {
	defer c.Close()
	up, err := dial(to)
	if err != nil {
		_ = control(c, func(fd int) error { // a reset: the connection was refused
			return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		})
		return
	}
	defer up.Close()
	var both sync.WaitGroup
	pass := func(dst, src *os.File) {
		_, _ = io.Copy(dst, src)
		_ = control(dst, func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) })
	}
	both.Go(func() { pass(up, c) })
	both.Go(func() { pass(c, up) })
	both.Wait()
}

// socket makes a TCP socket that the runtime waits for, and its address.
func socket(a netip.AddrPort) (int, unix.Sockaddr, error) {
	family, addr := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()})
	if a.Addr().Is4() {
		family, addr = unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == nil && family == unix.AF_INET6 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	return fd, addr, err
}

func listenTCP(a netip.AddrPort) (*os.File, error) {
	fd, addr, err := socket(a)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err := unix.Bind(fd, addr); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	if err := unix.Listen(fd, unix.SOMAXCONN); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("listen", err)
	}
	return os.NewFile(uintptr(fd), "listener"), nil
}

// accept waits for a connection. One that ended before it was taken is passed over.
func accept(l *os.File) (*os.File, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	for {
		var c int
		var acceptErr error
		err := raw.Read(func(fd uintptr) bool {
			c, _, acceptErr = unix.Accept4(int(fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			return acceptErr != unix.EAGAIN
		})
		switch {
		case err != nil:
			return nil, err
		case acceptErr == nil:
			return os.NewFile(uintptr(c), "connection"), nil
		case acceptErr != unix.EINTR && acceptErr != unix.ECONNABORTED:
			return nil, acceptErr
		}
	}
}

func dial(a netip.AddrPort) (*os.File, error) {
	fd, addr, err := socket(a)
	if err != nil {
		return nil, err
	}
	err = unix.Connect(fd, addr)
	f := os.NewFile(uintptr(fd), "connection")
	if errors.Is(err, unix.EINPROGRESS) || errors.Is(err, unix.EINTR) {
		err = connected(f)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// connected waits until a connection is made or refused.
func connected(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = raw.Write(func(fd uintptr) bool {
		n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		switch {
		case err != nil:
			result = err
		case n != 0:
			result = unix.Errno(n)
		default:
			_, err := unix.Getpeername(int(fd))
			result = err
			return err != unix.ENOTCONN
		}
		return true
	})
	return errors.Join(err, result)
}

func control(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = raw.Control(func(fd uintptr) { result = do(int(fd)) })
	return errors.Join(err, result)
}
