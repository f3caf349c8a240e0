package gvisor

import (
	"fmt"
	"net/netip"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/context"
	"gvisor.dev/gvisor/pkg/hostarch"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/sentry/mm"
	"gvisor.dev/gvisor/pkg/sentry/vfs"
	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/belljar-dev/belljar"
)

// This file tells, in the sentry, which program opened a connection, where a credential is
// for some programs only. What is inside would like to be one of them. So a process counts
// as its program only if
//
//   - it was executed without a variable by which the C library or the dynamic linker loads
//     code, and without a filter that answers its system calls (openat may say "0", which is
//     what we put there); and nobody traced it, before or since;
//   - its file is one of those programs, and all that it may execute, and ever could, is
//     mapped from files that nothing inside can write;
//   - it called connect itself, after its execve: a child that only was forked, or a
//     socket that was connected before, is nobody's; nor is one whose connect came after the
//     connection that is asked about, with whose addresses it was made anew.
//
// While it is asked for, nothing inside may write into another process's memory or take a
// descriptor out of it, and there are no user namespaces, in which files could be mounted
// over others and /proc be writable (see [scopeCalls]).

// A scopeConfig says what a scope is about. It is nil where no credential is for some
// programs.
type scopeConfig struct {
	Programs []string        `json:"programs"` // files, absolute
	Places   map[string]bool `json:"places"`   // what is mounted where: true if nothing inside can write it
}

// scopeOf is the scope that a plan needs.
func scopeOf(p *belljar.Plan) *scopeConfig {
	c := &scopeConfig{Places: map[string]bool{}}
	for _, k := range p.Network.Credentials {
		if !k.Withheld {
			c.Programs = append(c.Programs, k.Programs...)
		}
	}
	if len(c.Programs) == 0 {
		return nil
	}
	for _, m := range p.Mounts {
		c.Places[m.Target] = m.ReadOnly && m.Kind == belljar.MountBind
	}
	for _, v := range p.Workspace.Views {
		c.Places[v.Target] = false
	}
	return c
}

// A scope is what is known of processes and their connections.
type scope struct {
	scopeConfig

	mu      sync.Mutex
	started map[*kernel.ThreadGroup]*start
	conns   map[*vfs.FileDescription]*opener
	// How many there are when those that are gone are removed.
	sweep, sweepStarted int
}

// A start is one execve of a process, up to the next.
type start struct {
	before *mm.MemoryManager // what it had before; while it still has it, the old program runs
	own    *mm.MemoryManager // what it had when it was first looked at; nil: it was not
	taint  string            // why it is no program's; empty: it is
}

// An opener is who called connect for a socket.
type opener struct {
	at      int64 // when, by CLOCK_MONOTONIC
	group   *kernel.ThreadGroup
	start   *start
	program string
	fault   string
}

// firstSweep is how many sockets and processes are remembered before it is looked which are gone.
const firstSweep = 1024

func newScope(c *scopeConfig) *scope {
	return &scope{
		scopeConfig: *c, sweep: firstSweep, sweepStarted: firstSweep,
		started: map[*kernel.ThreadGroup]*start{}, conns: map[*vfs.FileDescription]*opener{},
	}
}

// executes notes that t is about to run another program, in the environment env. Until the
// new one runs, t is what it was, and no program's.
func (s *scope) executes(t *kernel.Task, env []string) {
	if s == nil || t == nil {
		return
	}
	x := &start{before: t.MemoryManager()}
	switch name := loads(env); {
	case name != "":
		x.taint = "it was started with " + name + ", by which code is loaded into it"
	case t.Tracer() != nil:
		x.taint = traced
	case t.SeccompMode() != linux.SECCOMP_MODE_NONE:
		x.taint = "it was started with a filter of its system calls, which answers some of them instead"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started[t.ThreadGroup()] = x; len(s.started) >= s.sweepStarted {
		s.forgetEnded()
	}
}

// forgetEnded removes processes that have ended. It is not done when the first thread of one
// ends: another thread of it may be executing a program just then, and what is known of that
// would be lost. s.mu is held.
func (s *scope) forgetEnded() {
	for g := range s.started {
		if g.Count() == 0 {
			delete(s.started, g)
		}
	}
	s.sweepStarted = max(firstSweep, 2*len(s.started))
}

// loads is the first variable of env by which the dynamic linker or a library loads code or
// is told where code is; empty: none. Code from files that something inside can write is found
// when it is mapped, for whatever reason; this keeps out read-only code that is not the program's.
func loads(env []string) string {
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		for _, p := range []string{"LD_", "GLIBC_", "GCONV_", "OPENSSL_", "GIO_", "P11_KIT_", "PKCS11_", "SASL_", "KRB5_", "GSS_", "NSS_", "LOCPATH", "QT_", "GTK_"} {
			if strings.HasPrefix(name, p) && name != "OPENSSL_ia32cap" {
				return strings.ToValidUTF8(name[:min(len(name), 64)], replacement)
			}
		}
	}
	return ""
}

const traced = "another program traced it"

// taint notes why t's process is no program's any more.
func (s *scope) taint(t *kernel.Task, why string) {
	if t == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.startOf(t.ThreadGroup()); x != nil && x.taint == "" {
		x.taint = why
	}
}

// startOf is the start of a process; nil of one that was forked and has executed nothing.
// What the supervisor started has none yet. s.mu is held.
func (s *scope) startOf(g *kernel.ThreadGroup) *start {
	x := s.started[g]
	if leader := g.Leader(); x == nil && leader != nil && leader.Parent() == nil {
		x = &start{}
		s.started[g] = x
	}
	return x
}

// connects notes that t is about to connect the socket f.
func (s *scope) connects(t *kernel.Task, f *vfs.FileDescription) {
	o := &opener{at: monotonic(), group: t.ThreadGroup()}
	m := t.MemoryManager()
	s.mu.Lock()
	o.start = s.startOf(o.group)
	if before := s.conns[f]; before != nil && before.group == o.group && before.start == o.start {
		o.at = before.at // it asks what has become of its first connect
	}
	s.mu.Unlock()
	o.program, o.fault = s.judge(t, t, m, o.start)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[f] = o
	if len(s.conns) >= s.sweep {
		s.forget(t.AsyncContext())
	}
}

// forget removes what is closed. s.mu is held.
func (s *scope) forget(ctx context.Context) {
	var held []*vfs.FileDescription
	for f := range s.conns {
		if f.TryIncRef() {
			held = append(held, f)
		} else {
			delete(s.conns, f)
		}
	}
	s.sweep = max(firstSweep, 2*len(s.conns))
	go func() { // the last reference may be ours, and closing takes locks
		for _, f := range held {
			f.DecRef(ctx)
		}
	}()
}

// judge says which program the process of t, with the memory m, is, and why it is none that
// a credential may be for.
func (s *scope) judge(ctx context.Context, t *kernel.Task, m *mm.MemoryManager, x *start) (program, fault string) {
	if m == nil {
		return "a program that has ended", "it runs no more"
	}
	f := m.Executable()
	if f == nil {
		return "an unknown program", "its file is not known"
	}
	program = strings.ToValidUTF8(f.MappedName(ctx), replacement)
	f.DecRef(ctx)
	s.mu.Lock()
	fault = x.fault(m)
	s.mu.Unlock()
	switch {
	case !slices.Contains(s.Programs, program):
		return program, "no credential is for it"
	case fault != "":
		return program, fault
	case t.UserNamespace() != t.Kernel().RootUserNamespace():
		return program, "it runs in a user namespace of its own"
	}
	return program, s.maps(ctx, m)
}

// fault says why a process that was started by x, and has the memory m, is not its program.
// The scope's mu is held.
func (x *start) fault(m *mm.MemoryManager) string {
	switch {
	case x == nil:
		return "it was forked and has not executed anything since"
	case m == x.before:
		return "it is being executed"
	case x.own == nil:
		x.own = m
	case x.own != m:
		return "it is another program by now"
	}
	return x.taint
}

// maps says which code that m may execute could be changed from inside; empty: none.
func (s *scope) maps(ctx context.Context, m *mm.MemoryManager) (fault string) {
	vdso := hostarch.Addr(0)
	for _, a := range m.Auxv() {
		if a.Key == linux.AT_SYSINFO_EHDR {
			vdso = a.Value
		}
	}
	m.ReadMapsDataInto(ctx, func(start, _ hostarch.Addr, perm hostarch.AccessType, _ string, _ uint64, _, _ uint32, _ uint64, name string) {
		switch {
		case fault != "" || !perm.Execute:
		case perm.Write:
			fault = madeCode
		case name == "" && start == vdso || name == "[vsyscall]" || name == "[usertrap]": // gVisor's own; programs cannot give such names
		case !s.fixed(name):
			fault = fmt.Sprintf("it has code that is not from a read-only file (%q)", strings.ToValidUTF8(name[:min(len(name), 200)], replacement))
		}
	})
	return fault
}

// fixed says whether nothing inside can write the file at path.
func (s *scope) fixed(file string) bool {
	if path.Clean(file) != file {
		return false // what a file without a place is called is up to whoever made it: memfd_create
	}
	for at := file; strings.HasPrefix(at, "/"); at = path.Dir(at) {
		if fixed, ok := s.Places[at]; ok {
			return fixed
		}
		if at == "/" {
			break
		}
	}
	return false
}

// opened says who opened the connection between two addresses of the sandbox's link, whose
// first packet was there at the time at.
func (s *scope) opened(from, to netip.AddrPort, at int64) (program, fault string) {
	f, o := s.find(from, to)
	if f == nil {
		return "an unknown program", "it is not known who did"
	}
	leader := o.group.Leader()
	ctx := leader.AsyncContext()
	defer f.DecRef(ctx)
	if o.at > at { // of a connection that is over, somebody else has the port
		return "an unknown program", "it has ended the connection, whose port another program uses now"
	}
	if o.fault != "" {
		return o.program, o.fault
	}
	var m *mm.MemoryManager
	leader.WithMuLocked(func(t *kernel.Task) { m = t.MemoryManager() })
	if m == nil || !m.IncUsers() {
		return o.program, "it has ended"
	}
	defer m.DecUsers(ctx)
	s.mu.Lock()
	same := s.started[o.group] == o.start
	s.mu.Unlock()
	if !same {
		return o.program, "it is another program by now"
	}
	return s.judge(ctx, leader, m, o.start)
}

// find is the socket whose connection that is, with a reference; nil also when there are
// two: one of them is about to end, and which is not known.
func (s *scope) find(from, to netip.AddrPort) (*vfs.FileDescription, *opener) {
	s.mu.Lock()
	candidates := make(map[*vfs.FileDescription]*opener, len(s.conns))
	for f, o := range s.conns {
		if f.TryIncRef() {
			candidates[f] = o
		} else {
			delete(s.conns, f)
		}
	}
	s.mu.Unlock()
	var found []*vfs.FileDescription
	for f, o := range candidates {
		if is(f, from, to) {
			found = append(found, f)
			continue
		}
		f.DecRef(o.group.Leader().AsyncContext())
	}
	if len(found) == 1 {
		return found[0], candidates[found[0]]
	}
	for _, f := range found {
		f.DecRef(candidates[f].group.Leader().AsyncContext())
	}
	return nil, nil
}

// is says whether f is connected from one address to the other on the link. What the program
// is shown may be other ones (see localhostEndpoint), which a connection within the sandbox can
// have as well.
func is(f *vfs.FileDescription, from, to netip.AddrPort) bool {
	ep := endpoint(f)
	if l, ok := ep.(*localhostEndpoint); ok {
		ep = l.Endpoint
	}
	if ep == nil {
		return false
	}
	mine, err := ep.GetLocalAddress()
	if err != nil {
		return false
	}
	other, err := ep.GetRemoteAddress()
	return err == nil && addrPort(mine) == from && addrPort(other) == to
}

// endpoint is that of a socket of gVisor's network, whose type has no name outside; nil of
// another one.
func endpoint(f *vfs.FileDescription) tcpip.Endpoint {
	v := reflect.Indirect(reflect.ValueOf(f.Impl()))
	if v.Kind() != reflect.Struct {
		return nil
	}
	v = v.FieldByName("Endpoint")
	if !v.IsValid() || !v.CanInterface() {
		return nil
	}
	ep, _ := v.Interface().(tcpip.Endpoint)
	return ep
}

func addrPort(a tcpip.FullAddress) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(a.Addr.AsSlice())
	return netip.AddrPortFrom(ip.Unmap(), a.Port)
}

// monotonic is the time of the host's clock that is never set, which every process of it has.
func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail with this clock
	return t.Nano()
}
