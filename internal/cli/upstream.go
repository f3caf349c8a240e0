package cli

import (
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/belljar-dev/belljar"
)

// upstreamProxy is the company's proxy, as the caller's environment names it: its
// address and, apart from it, the user part, which must not get into a plan. Only
// HTTP proxies are known; NO_PROXY is not, services of this host are never asked
// through it.
func upstreamProxy(lookup func(string) (string, bool)) (addr, auth string, err error) {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		v, _ := lookup(name)
		if v == "" {
			continue
		}
		if !strings.Contains(v, "://") {
			v = "http://" + v
		}
		u, err := url.Parse(v)
		if err != nil || u.Scheme != "http" || u.Hostname() == "" {
			// The value may hold a password: it is not repeated.
			err = errors.New("only http://HOST:PORT is known")
			return "", "", &belljar.Error{Op: "use the proxy of " + name, Kind: belljar.KindUsage, Err: err, Hint: "correct or unset " + name}
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
	return "", "", nil
}
