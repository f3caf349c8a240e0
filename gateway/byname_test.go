package gateway

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"testing"

	"github.com/belljar-dev/belljar"
)

// A failing resolver knows nothing, for one reason.
type failing struct{ err error }

func (f failing) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, f.err
}

// A noting dialer notes what was to be dialled, and dials nothing.
type noting struct{ asked []string }

func (d *noting) DialContext(_ context.Context, _, address string) (net.Conn, error) {
	d.asked = append(d.asked, address)
	return nil, errors.New("nothing is dialled here")
}

// TestOnlyUnknownNamesGoByName: the company's proxy is asked for a name that may be private
// where it does not exist here, and not where the lookup failed for now.
func TestOnlyUnknownNamesGoByName(t *testing.T) {
	for _, c := range []struct {
		err  error
		want []string
	}{
		{&net.DNSError{Err: "no such host", IsNotFound: true}, []string{"proxy.corp:8080"}},
		{&net.DNSError{Err: "server misbehaving", IsTemporary: true}, nil},
		{&net.DNSError{Err: "i/o timeout", IsTimeout: true, IsTemporary: true}, nil},
		{&net.DNSError{Err: "cannot unmarshal DNS message"}, nil},
		{context.DeadlineExceeded, nil},
	} {
		d := &noting{}
		w := &way{
			dialer: d, resolver: failing{c.err}, guard: &guard{}, answers: map[string]*answer{}, seen: map[string]bool{}, fresh: map[string]*bucket{},
			upstream: &upstream{address: "proxy.corp:8080", byName: true, proxy: func(u *url.URL) (*url.URL, error) { return u, nil }},
		}
		rule := &belljar.NetRule{Host: "vault.corp", Ports: []uint16{443}, Private: true}
		_, _, err := w.connect(t.Context(), target{host: "vault.corp", port: 443}, belljar.Decision{Allow: true, Rule: rule})
		if err == nil || !slices.Equal(d.asked, c.want) {
			t.Errorf("%v: dialled %v, %v", c.err, d.asked, err)
		}
	}
}
