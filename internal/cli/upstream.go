package cli

import (
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/belljar-dev/belljar"
)

// proxyVariables name the company's proxy, in the order in which they count. The
// gateway asks for tunnels only, so the proxy for https comes first.
var proxyVariables = []string{"HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"}

// upstreamProxy puts the company's proxy into n, as the caller's environment names
// it, and what is reached without it. It returns the user part, which must not get
// into a plan. Only HTTP proxies are known; services of this host are never asked
// through one.
func upstreamProxy(n *belljar.Network, lookup func(string) (string, bool)) (auth string, err error) {
	for _, name := range proxyVariables {
		v, _ := lookup(name)
		if v == "" {
			continue
		}
		if n.Upstream, auth, err = parseProxy(v); err != nil {
			return "", &belljar.Error{Op: "use the proxy of " + name, Kind: belljar.KindUsage, Err: err, Hint: "correct or unset " + name}
		}
		if n.NoProxy, _ = lookup("NO_PROXY"); n.NoProxy == "" {
			n.NoProxy, _ = lookup("no_proxy")
		}
		return auth, nil
	}
	return "", nil
}

// parseProxy takes a proxy's URL apart. Its errors do not repeat it: it may hold a
// password.
func parseProxy(v string) (addr, auth string, err error) {
	if !strings.Contains(v, "://") {
		v = "http://" + v
	}
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" || strings.ContainsAny(u.Hostname(), "\r\n\t \x00") {
		return "", "", errors.New("only http://HOST:PORT is known")
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	if u.User != nil {
		password, _ := u.User.Password()
		auth = u.User.Username() + ":" + password
	}
	return net.JoinHostPort(u.Hostname(), port), auth, nil
}
