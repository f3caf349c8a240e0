package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
)

const (
	dialTimeout = 10 * time.Second // to one address
	wayTimeout  = 20 * time.Second // resolve, every address, and the upstream proxy's answer
	stagger     = 250 * time.Millisecond
	maxAddrs    = 16 // of one name that are tried
	// answers of the resolver are used again for so long.
	answerAge = 30 * time.Second
	errorAge  = 2 * time.Second
	maxCached = 4096
	// NamesPerMinute is how many names under one wildcard are resolved for the
	// first time within a minute: each of them tells the domain's name servers
	// what its label says.
	NamesPerMinute = 120
)

// A Dialer connects to an address of the outside. [net.Dialer] is one. It is
// given IP addresses only, except for the upstream proxy.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// A Resolver resolves a name of the outside. [net.Resolver] is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// A refusedError says that policy or guard forbade a connection; other errors of
// dialling are the network's.
type refusedError struct{ belljar.Decision }

func (e *refusedError) Error() string { return e.Reason }

// A way dials what the policy allowed.
type way struct {
	dialer   Dialer
	resolver Resolver
	guard    *guard
	upstream *upstream // nil: none

	mu      sync.Mutex
	answers map[string]*answer
	seen    map[string]bool    // names that were resolved before
	fresh   map[string]*bucket // by wildcard
}

type answer struct {
	ready   chan struct{}
	addrs   []netip.Addr
	err     error
	expires time.Time
}

// connect dials t, which d allowed. The error is a [refusedError] when the
// guard or a limit forbids it. The address is the one that was dialled.
func (w *way) connect(ctx context.Context, t target, d belljar.Decision) (net.Conn, string, error) {
	ctx, cancel := context.WithTimeout(ctx, wayTimeout)
	defer cancel()
	if t.host == belljar.Localhost {
		return w.dialAll(ctx, []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, t.port, time.Hour)
	}
	through := w.upstream.serves(t)
	byName := through && w.upstream.byName && t.host != ""
	if byName && !d.Rule.Private {
		if err := w.mayResolve(t.host, d.Rule); err != nil {
			return nil, "", err
		}
		return w.named(ctx, t)
	}
	addrs, err := w.checked(ctx, t, d)
	// What may be private is private where it is known here. What is not, only the proxy knows;
	// but a lookup that failed says nothing, and a private name is not told to the proxy.
	if unknown := new(net.DNSError); byName && errors.As(err, &unknown) && unknown.IsNotFound {
		return w.named(ctx, t)
	}
	if err != nil {
		return nil, "", err
	}
	if through && !slices.ContainsFunc(addrs, isPrivate) {
		c, err := w.upstream.connect(ctx, w.dialer, netip.AddrPortFrom(addrs[0], t.port).String())
		return c, addrs[0].String(), err
	}
	return w.dialAll(ctx, addrs, t.port, stagger)
}

// named asks the company's proxy for a tunnel to the name of t.
func (w *way) named(ctx context.Context, t target) (net.Conn, string, error) {
	c, err := w.upstream.connect(ctx, w.dialer, net.JoinHostPort(t.host, strconv.Itoa(int(t.port))))
	return c, w.upstream.address, err
}

func isPrivate(a netip.Addr) bool {
	c, _ := classify(a)
	return c == private
}

// checked resolves t and returns the addresses that may be dialled, at least one.
func (w *way) checked(ctx context.Context, t target, d belljar.Decision) ([]netip.Addr, error) {
	if t.host == "" {
		if why, _ := w.guard.check(t.addr, true); why != "" {
			return nil, refused(fmt.Sprintf("the address %s is %s, which no rule can allow", t.addr, why), "")
		}
		return []netip.Addr{t.addr}, nil
	}
	if err := w.mayResolve(t.host, d.Rule); err != nil {
		return nil, err
	}
	all, err := w.resolve(ctx, t.host)
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	var refusal error
	for _, a := range all {
		why, fixable := w.guard.check(a, d.Rule.Private)
		if why == "" {
			addrs = append(addrs, a)
			continue
		}
		r := fmt.Sprintf("%s resolves to %s, %s", t.host, a, why)
		if fixable {
			refusal = refused(r+", and the rule does not say private: true",
				fmt.Sprintf("{host: %q, ports: [%d], private: true}", t.host, t.port))
		} else if refusal == nil {
			refusal = refused(r+", which no rule can allow", "")
		}
	}
	switch {
	case len(addrs) > 0:
		return addrs, nil
	case refusal != nil:
		return nil, refusal
	}
	return nil, fmt.Errorf("%s has no address", t.host)
}

func refused(reason, fix string) error {
	return &refusedError{belljar.Decision{Reason: reason, Fix: fix}}
}

// mayResolve bounds how many new names under a wildcard leave the gateway.
func (w *way) mayResolve(host string, rule *belljar.NetRule) error {
	if !strings.HasPrefix(rule.Host, "*.") {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen[host] {
		return nil
	}
	b := w.fresh[rule.Host]
	if b == nil {
		b = &bucket{rate: NamesPerMinute / 60.0, burst: NamesPerMinute}
		w.fresh[rule.Host] = b
	}
	if !b.take(time.Now()) {
		return &refusedError{belljar.Decision{
			Nearest: rule,
			Reason:  fmt.Sprintf("more than %d new names a minute under %s", NamesPerMinute, rule.Host),
			Fix:     "--allow " + host,
		}}
	}
	if len(w.seen) < maxNames {
		w.seen[host] = true
	}
	return nil
}

// resolve asks the resolver once for all who wait for the same name.
func (w *way) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	w.mu.Lock()
	a := w.answers[host]
	if a == nil || !a.expires.IsZero() && time.Now().After(a.expires) {
		if len(w.answers) >= maxCached {
			clear(w.answers)
		}
		a = &answer{ready: make(chan struct{})}
		w.answers[host] = a
		w.mu.Unlock()
		// Others may wait for the answer, whatever becomes of who asked first.
		lctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wayTimeout)
		addrs, err := w.lookup(lctx, host)
		cancel()
		w.mu.Lock()
		a.addrs, a.err, a.expires = addrs, err, time.Now().Add(answerAge)
		if err != nil {
			a.expires = time.Now().Add(errorAge)
		}
		close(a.ready)
	}
	w.mu.Unlock()
	select {
	case <-a.ready:
		return a.addrs, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *way) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if strings.Contains(host, ".") {
		host += "." // the name itself, under no search domain
	}
	all, err := w.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("resolve %q: %w", host, err)
	}
	var addrs []netip.Addr
	for _, a := range all {
		if a = a.Unmap(); !slices.Contains(addrs, a) && len(addrs) < maxAddrs {
			addrs = append(addrs, a)
		}
	}
	return interleave(addrs), nil
}

// interleave alternates the two families, the first one's first.
func interleave(addrs []netip.Addr) []netip.Addr {
	if len(addrs) == 0 {
		return nil
	}
	first := addrs[0].Is4()
	var a, b, out []netip.Addr
	for _, x := range addrs {
		if x.Is4() == first {
			a = append(a, x)
		} else {
			b = append(b, x)
		}
	}
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			out = append(out, a[i])
		}
		if i < len(b) {
			out = append(out, b[i])
		}
	}
	return out
}

type dialled struct {
	conn net.Conn
	addr netip.Addr
	err  error
}

// dialAll tries the addresses in turn: the next one when the last has failed or
// has not answered after a while. The first connection wins.
func (w *way) dialAll(ctx context.Context, addrs []netip.Addr, port uint16, wait time.Duration) (net.Conn, string, error) {
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan dialled)
	started, pending := 0, 0
	start := func() {
		a := addrs[started]
		started++
		pending++
		go func() {
			dctx, stop := context.WithTimeout(ctx, dialTimeout)
			defer stop()
			c, err := w.dialer.DialContext(dctx, "tcp", netip.AddrPortFrom(a, port).String())
			results <- dialled{c, a, err}
		}()
	}
	defer func() {
		cancel()
		for range pending {
			if r := <-results; r.conn != nil {
				_ = r.conn.Close()
			}
		}
	}()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	var errs []error
	for start(); pending > 0; {
		select {
		case r := <-results:
			pending--
			if r.err == nil {
				return r.conn, r.addr.String(), nil
			}
			errs = append(errs, r.err)
			if started < len(addrs) {
				start()
				timer.Reset(wait)
			}
		case <-timer.C:
			if started < len(addrs) {
				start()
				timer.Reset(wait)
			}
		}
	}
	return nil, addrs[0].String(), errors.Join(errs...)
}

// hostDialer dials for real, and hangs up when it reached this host after all.
type hostDialer struct{ d net.Dialer }

func (h *hostDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := h.d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	to, err := netip.ParseAddrPort(address)
	local, ok := c.LocalAddr().(*net.TCPAddr)
	if err == nil && ok && !to.Addr().IsLoopback() && local.AddrPort().Addr().Unmap() == to.Addr().Unmap() {
		_ = c.Close()
		return nil, refused("the address "+to.Addr().String()+" is an address of this host, which no rule can allow", "")
	}
	return c, nil
}
