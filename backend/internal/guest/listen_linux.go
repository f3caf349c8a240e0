package guest

import (
	"io"
	"net"
	"strconv"
	"sync"
)

// listen listens on the loopback's ports before the command starts, so that it
// finds them at once.
func (h *helper) listen() error {
	for _, port := range h.start.Listen {
		p := strconv.Itoa(int(port))
		for _, host := range []string{"127.0.0.1", "::1"} {
			l, err := net.Listen("tcp", net.JoinHostPort(host, p))
			if err != nil {
				return err
			}
			go h.serve(l, net.JoinHostPort(h.start.Relay, p))
		}
	}
	return nil
}

func (h *helper) serve(l net.Listener, to string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go relayConn(c.(*net.TCPConn), to)
	}
}

// relayConn copies both ways; the end of one direction is passed on as such.
func relayConn(c *net.TCPConn, to string) {
	defer c.Close()
	d, err := net.Dial("tcp", to)
	if err != nil {
		_ = c.SetLinger(0) // a reset: the connection was refused
		return
	}
	defer d.Close()
	up := d.(*net.TCPConn)
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(up, c)
		_ = up.CloseWrite()
	})
	both.Go(func() {
		_, _ = io.Copy(c, up)
		_ = c.CloseWrite()
	})
	both.Wait()
}
