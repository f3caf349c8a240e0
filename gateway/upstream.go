package gateway

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
	"golang.org/x/net/http/httpproxy"
)

// An upstream is the proxy of the user's company. Its own address is not
// guarded: the user configured it.
type upstream struct {
	address string // host:port
	auth    string // user:password, empty for none
	byName  bool
	proxy   func(*url.URL) (*url.URL, error) // nil URL: without the proxy
}

func newUpstream(n *belljar.Network, auth string) (*upstream, error) {
	if n.Upstream == "" {
		return nil, nil
	}
	if _, err := parseAuthority(n.Upstream, 0); err != nil {
		return nil, fmt.Errorf("upstream proxy %q: %w", n.Upstream, err)
	}
	c := httpproxy.Config{HTTPSProxy: "http://" + n.Upstream, NoProxy: n.NoProxy}
	return &upstream{address: n.Upstream, auth: auth, byName: n.UpstreamByName, proxy: c.ProxyFunc()}, nil
}

// serves says whether t is reached through the proxy. NO_PROXY is read as Go's own
// programs do: names with what is below them, addresses, ranges, ports.
func (u *upstream) serves(t target) bool {
	if u == nil {
		return false
	}
	host := t.host
	if host == "" {
		host = t.addr.String()
	}
	to, err := u.proxy(&url.URL{Scheme: "https", Host: net.JoinHostPort(host, strconv.Itoa(int(t.port)))})
	return err != nil || to != nil
}

// connect asks the proxy for a tunnel to hostport.
func (u *upstream) connect(ctx context.Context, d Dialer, hostport string) (net.Conn, error) {
	c, err := d.DialContext(ctx, "tcp", u.address)
	if err != nil {
		return nil, fmt.Errorf("upstream proxy: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	br, err := u.ask(c, hostport)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if br.Buffered() == 0 {
		return c, nil
	}
	early, _ := br.Peek(br.Buffered())
	return &prefixed{Conn: c, prefix: early}, nil
}

func (u *upstream) ask(c net.Conn, hostport string) (*bufio.Reader, error) {
	req := "CONNECT " + hostport + " HTTP/1.1\r\nHost: " + hostport + "\r\n"
	if u.auth != "" {
		req += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(u.auth)) + "\r\n"
	}
	if _, err := c.Write([]byte(req + "\r\n")); err != nil {
		return nil, fmt.Errorf("upstream proxy: %w", err)
	}
	br := bufio.NewReaderSize(c, 4<<10)
	resp, err := http.ReadResponse(br, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, fmt.Errorf("upstream proxy: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("upstream proxy answers %d to CONNECT %s", resp.StatusCode, hostport)
	}
	return br, nil
}

// A prefixed connection reads bytes that were read too early first.
type prefixed struct {
	net.Conn
	prefix []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.prefix) > 0 {
		n := copy(b, p.prefix)
		p.prefix = p.prefix[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// CloseWrite passes on the end of what is sent.
func (p *prefixed) CloseWrite() error { return closeWrite(p.Conn) }

// SyscallConn implements [syscall.Conn], once nothing is left that was read too early.
func (p *prefixed) SyscallConn() (syscall.RawConn, error) {
	c, ok := p.Conn.(syscall.Conn)
	if !ok || len(p.prefix) > 0 {
		return nil, errors.ErrUnsupported
	}
	return c.SyscallConn()
}
