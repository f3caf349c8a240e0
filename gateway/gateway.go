package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/approval"
	"github.com/belljar-dev/belljar/credential"
	"github.com/belljar-dev/belljar/gateway/certs"
	"github.com/belljar-dev/belljar/gateway/dns"
	"github.com/belljar-dev/belljar/gateway/git"
	"github.com/belljar-dev/belljar/gateway/httpproxy"
	"github.com/belljar-dev/belljar/gateway/llm"
	"github.com/belljar-dev/belljar/gateway/netstack"
	"github.com/belljar-dev/belljar/internal/agenthook"
)

const (
	// MaxConnections is how many connections a sandbox may have at once.
	MaxConnections = 1024
	// dnsRate and dnsBurst bound the questions that are answered; the rest is dropped.
	dnsRate, dnsBurst = 2000, 4000
)

// Options say what a [Gateway] is made of.
type Options struct {
	Network *belljar.Network  // what is allowed; read-only from now on
	Events  belljar.EventSink // takes connect, refuse, limit and publish events
	// Name is the sandbox's: published ports get a loopback address made from it.
	Name string
	// Dialer and Resolver reach the outside; nil for the host's.
	Dialer   Dialer
	Resolver Resolver
	// UpstreamAuth is "user:password" for Network.Upstream; empty for none.
	UpstreamAuth string
	// Authority makes the certificates where TLS is ended because requests must be
	// seen; its certificate is trusted inside. Nil: a network with rules that need
	// that is refused.
	Authority *certs.Authority
	// Keys are the values of Network.Credentials; nil for none. The caller closes them
	// once Run has returned.
	Keys *credential.Keys
	// Logins are answered for where agents ask for new tokens.
	Logins []Login
	// Questions take what rules ask about, and proposals; nil: nobody answers, so that
	// what asks is refused.
	Questions *approval.Queue
	// Tokens is what all models of Network.LLM together may use; 0: any number.
	Tokens int64
	// Notice takes lines for the user, such as that a budget is almost spent; it must not
	// wait. Nil: nobody is told.
	Notice func(line string)
	// Denied are programs that cannot run inside, for the page to tell.
	Denied []belljar.DeniedProgram
	// JudgeLine judges the lines that agents' hooks submit to the gateway's page; it may wait,
	// and is called from several goroutines. Nil: there is nothing to judge by.
	JudgeLine func(ctx context.Context, c agenthook.Call) agenthook.Verdict
	// Opened says which program opened a connection ([belljar.Opener]); it is asked for
	// credentials that are for some programs. Nil: nobody knows.
	Opened func(ctx context.Context, from, to netip.AddrPort, began time.Time) (belljar.Opened, error)
	// Roots verify the servers of connections whose TLS is ended; nil for the system's
	// (with SSL_CERT_FILE and SSL_CERT_DIR).
	Roots *x509.CertPool
}

// A Gateway is the only way out of one sandbox. Its methods are safe for
// concurrent use.
type Gateway struct {
	network *belljar.Network                // the plan's
	rules   atomic.Pointer[belljar.Network] // the plan's with what was added; see Allow
	name    string
	names   *table
	guard   *guard
	way     *way
	rec     *recorder
	flows   *flows
	buffers *buffers

	authority *certs.Authority // nil: TLS is not ended
	keys      *credential.Keys // nil: no credentials
	opened    func(ctx context.Context, from, to netip.AddrPort, began time.Time) (belljar.Opened, error)
	logins    []Login
	kept      atomic.Int64 // bytes of requests that may be sent again
	commands  refusedCommands
	denied    []DeniedProgram
	judgeLine func(context.Context, agenthook.Call) agenthook.Verdict // nil: there are no rules
	lines     lines
	questions *approval.Queue // nil: nobody answers
	tls       *tls.Config     // of the servers inside
	h2        *httpproxy.H2
	pool      *pool
	rates     rates
	git       *git.Budget
	llm       *llm.Budget
	bodies    atomic.Int64 // bytes of requests to models that are held

	drops chan netstack.Drop

	dnsMu   sync.Mutex
	dnsRate bucket // guarded by dnsMu

	closed chan struct{}
	ended  chan struct{} // closed when Run has returned

	mu        sync.Mutex
	ctx       context.Context // of Run while it runs
	ran       bool
	shut      bool
	link      *belljar.Link // attached before Run
	attached  bool
	granted   int  // rules that were added
	setupOver bool // see EndSetup
	stack     *netstack.Stack
	sockets   []interface{ Close() error }
	wg        sync.WaitGroup
}

// New makes a gateway for one sandbox. It has no side effects.
func New(o Options) (*Gateway, error) {
	if o.Network == nil || o.Events == nil {
		return nil, &belljar.Error{Op: "make gateway", Kind: belljar.KindInternal, Err: errors.New("no network or no record")}
	}
	if o.Dialer == nil {
		o.Dialer = &hostDialer{net.Dialer{KeepAlive: 30 * time.Second}}
	}
	if o.Resolver == nil {
		o.Resolver = &net.Resolver{PreferGo: true}
	}
	own, setup := ownRules(o.Network)
	names, err := newTable(setup)
	if err != nil {
		return nil, &belljar.Error{Op: "make gateway", Kind: belljar.KindUsage, Err: err, Hint: "use wildcards or fewer rules"}
	}
	up, err := newUpstream(o.Network, o.UpstreamAuth)
	if err != nil {
		return nil, &belljar.Error{Op: "make gateway", Kind: belljar.KindUsage, Err: err, Hint: "write it as host:port"}
	}
	if why := unseeable(setup); why != "" {
		return nil, &belljar.Error{Op: "make gateway", Kind: belljar.KindUsage, Err: errors.New(why), Hint: "name the host instead"}
	}
	if why := needsAuthority(setup); why != "" && o.Authority == nil {
		return nil, &belljar.Error{Op: "make gateway", Kind: belljar.KindInternal, Err: errors.New(why + " needs TLS to be ended, but there is no authority for it")}
	}
	guard := newGuard()
	g := &Gateway{
		network: own,
		name:    o.Name,
		names:   names,
		guard:   guard,
		way: &way{
			dialer: o.Dialer, resolver: o.Resolver, guard: guard, upstream: up,
			answers: make(map[string]*answer), seen: make(map[string]bool), fresh: make(map[string]*bucket),
		},
		rec:     newRecorder(o.Events),
		flows:   newFlows(MaxConnections),
		buffers: newBuffers(),
		drops:   make(chan netstack.Drop, 256),
		dnsRate: bucket{rate: dnsRate, burst: dnsBurst},
		closed:  make(chan struct{}),
		ended:   make(chan struct{}),

		authority: o.Authority,
		keys:      o.Keys,
		opened:    o.Opened,
		logins:    o.Logins,
		questions: o.Questions,
		denied:    deniedPrograms(o.Denied),
		judgeLine: o.JudgeLine,
		h2:        httpproxy.NewH2(),
		git:       git.NewBudget(gitMemory),
		llm:       llm.NewBudget(o.Tokens, o.Network.LLM, o.Notice),
	}
	g.rules.Store(setup)
	g.tls, g.pool = g.newTLS(), newPool(g, o.Roots)
	return g, nil
}

// Attach takes over the sandbox's link, also on error. It is called at most once,
// before or while [Gateway.Run] runs; until Run runs, nothing is answered.
func (g *Gateway) Attach(l belljar.Link) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.attached || g.shut {
		_ = l.File.Close()
		return &belljar.Error{Op: "attach link", Kind: belljar.KindInternal, Err: errors.New("the gateway has a link already or is closed")}
	}
	g.attached = true
	if g.ctx == nil {
		g.link = &l
		return nil
	}
	return g.serve(l)
}

// Run serves the sandbox until ctx ends or [Gateway.Close] is called, ends every
// connection, waits for its goroutines and returns nil. It is called at most once.
// An error says that the link attached earlier or a published port cannot be served.
func (g *Gateway) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g.mu.Lock()
	if g.ran || g.shut {
		g.mu.Unlock()
		return nil
	}
	g.ran, g.ctx = true, ctx
	var err error
	if g.link != nil {
		err = g.serve(*g.link)
		g.link = nil
	}
	g.mu.Unlock()
	defer close(g.ended)
	if err == nil {
		g.watch(ctx)
	}
	g.shutdown(cancel)
	return err
}

// watch does what is to be done from time to time.
func (g *Gateway) watch(ctx context.Context) {
	tell, idle := time.NewTicker(tellEvery), time.NewTicker(30*time.Second)
	defer tell.Stop()
	defer idle.Stop()
	for {
		select {
		case d := <-g.drops:
			g.dropped(ctx, d)
		case <-tell.C:
			g.rec.tell(ctx)
		case now := <-idle.C:
			g.flows.closeIdle(now)
			g.pool.flows.closeIdle(now)
		case <-g.closed:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (g *Gateway) shutdown(cancel context.CancelFunc) {
	cancel()
	g.mu.Lock()
	g.shut = true
	for _, s := range g.sockets {
		_ = s.Close()
	}
	stack := g.stack
	g.mu.Unlock()
	g.flows.closeAll()
	g.h2.Close()
	g.pool.close()
	if stack != nil {
		stack.Close()
	}
	g.wg.Wait()
	for len(g.drops) > 0 {
		g.dropped(g.ctx, <-g.drops)
	}
	g.rec.tell(g.ctx)
}

// Close ends the gateway and waits until Run has returned. Idempotent.
func (g *Gateway) Close() error {
	g.mu.Lock()
	if !g.shut {
		g.shut = true
		close(g.closed)
	}
	ran, link := g.ran, g.link
	g.link = nil
	g.mu.Unlock()
	if ran {
		<-g.ended
	} else if link != nil {
		_ = link.File.Close()
	}
	return nil
}

// Summary says what was reached and what was refused so far.
func (g *Gateway) Summary() Summary {
	s := g.rec.summary()
	s.Models, s.Calls = g.llm.Spent()
	return s
}

// serve starts to answer a link. g.mu is held.
func (g *Gateway) serve(l belljar.Link) error {
	st, err := netstack.New(netstack.Options{Link: l, TCP: g.accept, Dropped: g.drop})
	if err != nil {
		return &belljar.Error{Op: "attach link", Kind: belljar.KindInternal, Err: err}
	}
	g.stack = st
	for _, a := range []netip.Addr{belljar.GatewayIPv4, belljar.GatewayIPv6} {
		pc, err := st.ListenUDP(netip.AddrPortFrom(a, 53))
		if err != nil {
			return &belljar.Error{Op: "serve DNS", Kind: belljar.KindInternal, Err: err}
		}
		g.sockets = append(g.sockets, pc)
		g.wg.Go(func() { dns.ServeUDP(pc, zone{g}, g.mayAsk) })
	}
	if err := g.publish(); err != nil {
		return err
	}
	st.Start()
	return nil
}

// drop takes note of a packet while the link waits.
func (g *Gateway) drop(d netstack.Drop) {
	select {
	case g.drops <- d:
	default:
		g.rec.overflow(d.Proto)
	}
}

func (g *Gateway) dropped(ctx context.Context, d netstack.Drop) {
	g.rec.refuse(ctx, d.Proto, target{addr: d.Addr, port: d.Port}, belljar.Decision{Reason: d.Reason})
}

// enter counts a goroutine that the gateway waits for; false when it is closing.
func (g *Gateway) enter() (context.Context, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut || g.ctx == nil {
		return nil, false
	}
	g.wg.Add(1)
	return g.ctx, true
}

func (g *Gateway) mayAsk() bool {
	g.dnsMu.Lock()
	ok := g.dnsRate.take(time.Now())
	g.dnsMu.Unlock()
	if !ok {
		g.rec.overflow("dns")
	}
	return ok
}
