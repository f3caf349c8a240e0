package verify

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// proxy is an open proxy that checks nothing: HTTP and SOCKS by the first byte. The
// control's attacks on the sandbox's proxy go here.
func (n *internet) proxy(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(15 * time.Second))
			b := bufio.NewReader(c)
			first, err := b.Peek(1)
			if err != nil {
				return
			}
			if first[0] == 5 {
				n.socks(c, b)
				return
			}
			n.httpProxy(c, b)
		}()
	}
}

func (n *internet) httpProxy(c net.Conn, b *bufio.Reader) {
	raw, _ := b.Peek(b.Buffered()) // also what cannot be parsed
	n.seen(string(raw), "request of an open proxy")
	r, err := http.ReadRequest(b)
	if err != nil {
		_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		return
	}
	if r.Method != http.MethodConnect {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
		return
	}
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
	n.join(c, b, r.Host)
}

func (n *internet) socks(c net.Conn, b *bufio.Reader) {
	read := func(k int) []byte {
		x := make([]byte, k)
		_, _ = io.ReadFull(b, x)
		return x
	}
	h := read(2)
	read(int(h[1]))
	_, _ = c.Write([]byte{5, 0})
	h = read(4)
	host := ""
	switch h[3] {
	case 1:
		host = net.IP(read(4)).String()
	case 4:
		host = net.IP(read(16)).String()
	default:
		host = string(read(int(read(1)[0])))
	}
	p := read(2)
	n.seen(host, "SOCKS request of an open proxy for "+host)
	_, _ = c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	n.join(c, b, net.JoinHostPort(host, strconv.Itoa(int(p[0])<<8|int(p[1]))))
}

// join plays whatever is at to: every name is served by this process itself.
func (n *internet) join(c net.Conn, b *bufio.Reader, to string) {
	_, port, _ := net.SplitHostPort(to)
	out, err := net.DialTimeout("tcp", net.JoinHostPort(addrEvil, port), 5*time.Second)
	if err != nil { // nothing listens there: what it is told counts all the same
		k := make([]byte, 1024)
		m, _ := b.Read(k)
		n.seen(string(k[:m]), "bytes through an open proxy for "+to)
		return
	}
	defer out.Close()
	go func() { _, _ = io.Copy(out, b); _ = out.(*net.TCPConn).CloseWrite() }()
	_, _ = io.Copy(c, out)
}
