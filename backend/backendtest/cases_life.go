package backendtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/testenv"
)

var lifeCases = []tcase{
	{name: "close/kills", why: "Close ends whatever runs", own: true, run: closeKills},
	{name: "close/idempotent", why: "Close may be called again, also by many", own: true, run: closeTwice},
	{name: "close/reason", why: "the end says that it was killed", own: true, run: closeReason},
	{name: "close/fast", why: "whoever reached a limit must be stopped at once", own: true, run: closeFast},
	{name: "close/start-after", why: "a sandbox that has ended starts nothing", own: true, run: startAfterClose},
	{name: "close/leaves-nothing", why: "a server starts and ends thousands", bare: true, run: leavesNothing},
	{name: "close/empty", why: "a sandbox without a command can be closed", bare: true, run: closeEmpty},
	{name: "leftovers/files", why: "nothing is left in the scratch folder", bare: true, run: leftFiles},
	{name: "leftovers/mounts", why: "no mount is visible on the host, ever", own: true, run: leftMounts},
	{name: "leftovers/processes", why: "no process outlives Close", bare: true, run: leftProcesses},
	{name: "leftovers/descriptors", why: "a long-lived supervisor runs out of nothing", bare: true, run: leftDescriptors},
	{name: "start/bad-plan", why: "a plan without limits is refused", bare: true, run: badPlan},
	{name: "start/bad-source", why: "a source that does not exist is an error and leaves nothing", bare: true, run: badSource},
	{name: "start/context", why: "a start that was given up leaves nothing", bare: true, run: startContext},
	{name: "start/attach-fails", why: "a gateway that refuses the link stops the start", bare: true, run: attachFails},
	{name: "start/five", why: "sandboxes run beside each other and see nothing of each other", bare: true, run: startFive},
	{name: "wait/context", why: "waiting for a sandbox can be given up", own: true, run: waitInstance},
	{name: "probe/complete", why: "every requirement has an answer", bare: true, run: probeComplete},
	{name: "probe/fast", why: "probing costs less than a millisecond", bare: true, run: probeFast},
	{name: "secrets/argv", why: "no process of ours shows the plan in its arguments", own: true, run: argvClean},
}

func closeKills(t *testing.T, s *box) {
	p, _ := s.background("echo ready; trap '' TERM HUP INT; while :; do sleep 1; done")
	if err := s.in.Close(); err != nil {
		t.Fatal(err)
	}
	if st := s.waitFor(p); st.Status() == 0 {
		t.Errorf("ended with %+v", st)
	}
	if st := s.waitFor(s.init); st.Status() == 0 {
		t.Errorf("the first command ended with %+v", st)
	}
}

func closeTwice(t *testing.T, s *box) {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := s.in.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func (s *box) end() belljar.End {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	end, err := s.in.Wait(ctx)
	if err != nil {
		s.t.Fatalf("wait: %v", err)
	}
	return end
}

func closeReason(t *testing.T, s *box) {
	s.in.Close()
	if end := s.end(); end.Reason != belljar.EndKilled {
		t.Errorf("end %+v, want %s", end, belljar.EndKilled)
	}
}

func closeFast(t *testing.T, s *box) {
	start := time.Now()
	s.in.Close()
	if d := time.Since(start); d > 30*time.Second { // it is a matter of milliseconds, unless others have the processors
		t.Errorf("it took %s", d)
	}
}

func startAfterClose(t *testing.T, s *box) {
	s.in.Close()
	c := shell("true")
	if p, err := s.in.Start(t.Context(), &c); err == nil {
		t.Errorf("a command started: %v", p)
	}
	if _, err := s.in.Usage(t.Context()); err != nil {
		t.Logf("usage after the end: %v", err)
	}
}

func closeEmpty(t *testing.T, s *box) {
	s.start()
	if err := s.in.Close(); err != nil {
		t.Fatal(err)
	}
	if end := s.end(); end.Reason != belljar.EndKilled {
		t.Errorf("end %+v", end)
	}
}

func leftFiles(t *testing.T, s *box) {
	s.boot()
	s.want("echo ok", "ok")
	s.in.Close()
	s.clean()
}

// clean checks that the scratch folder is empty.
func (s *box) clean() {
	s.t.Helper()
	left, err := os.ReadDir(s.scratch)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range left {
		s.t.Errorf("%s was left behind", filepath.Join(s.scratch, e.Name()))
	}
}

func leftMounts(t *testing.T, s *box) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), s.dir) {
		t.Error("a mount of the sandbox is visible on the host")
	}
}

// children are the processes of ours that descend from this one, with their arguments.
func children() map[int]string {
	out := map[int]string{}
	for _, pid := range testenv.Descendants(os.Getpid()) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.HasPrefix(string(b), "belljar-") {
			out[pid] = strings.TrimRight(strings.ReplaceAll(string(b), "\x00", " "), " ")
		}
	}
	return out
}

func leftProcesses(t *testing.T, s *box) {
	before := children()
	s.boot()
	mine := children()
	for pid := range before {
		delete(mine, pid)
	}
	s.in.Close()
	for pid, argv := range children() {
		if _, was := mine[pid]; was {
			t.Errorf("process %d (%s) outlives Close", pid, argv)
		}
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	l, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(l)
}

func leftDescriptors(t *testing.T, s *box) {
	once := func() {
		x := newBox(t, s.b)
		x.start()
		r, w := x.pipe()
		p, err := x.in.Start(t.Context(), &belljar.Command{Exec: x.plan.Command, Stdin: r})
		if err != nil {
			t.Fatal(err)
		}
		x.want("echo x", "x")
		w.Close()
		x.waitFor(p)
		x.in.Close()
		(<-x.links).File.Close()
	}
	once()
	before := descriptors(t)
	for range 3 {
		once()
	}
	if after := descriptors(t); after > before+1 {
		t.Errorf("%d descriptors before, %d after three sandboxes", before, after)
	}
}

func refused(t *testing.T, s *box, spec *belljar.Spec, ctx context.Context) {
	t.Helper()
	in, err := s.b.Start(ctx, spec)
	if err == nil {
		in.Close()
		t.Fatal("it started")
	}
	s.clean()
}

func badPlan(t *testing.T, s *box) {
	s.plan.Limits.Memory = 0
	refused(t, s, s.spec(), t.Context())
}

func badSource(t *testing.T, s *box) {
	s.plan.Mounts = append(s.plan.Mounts, belljar.Mount{Kind: belljar.MountBind, Source: "/no/such/source", Target: "/opt/x"})
	before := len(children())
	refused(t, s, s.spec(), t.Context())
	if now := len(children()); now > before {
		t.Errorf("%d processes before, %d after", before, now)
	}
}

func startContext(t *testing.T, s *box) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	refused(t, s, s.spec(), ctx)
}

func attachFails(t *testing.T, s *box) {
	spec := s.spec()
	spec.Attach = func(l belljar.Link) error {
		l.File.Close()
		return errors.New("no gateway")
	}
	refused(t, s, spec, t.Context())
}

func startFive(t *testing.T, s *box) {
	var all sync.WaitGroup
	boxes := make([]*box, 5)
	for i := range boxes {
		boxes[i] = newBox(t, s.b)
		boxes[i].start()
	}
	for i, x := range boxes {
		all.Go(func() {
			r, w, err := os.Pipe()
			if err != nil {
				t.Error(err)
				return
			}
			defer w.Close()
			if _, err := x.in.Start(t.Context(), &belljar.Command{Exec: x.plan.Command, Stdin: r}); err != nil {
				t.Errorf("sandbox %d: %v", i, err)
				return
			}
			if r := x.sh("echo " + itoa(i) + " > /tmp/me; ls /tmp; cat /tmp/me"); r.out != "me\n"+itoa(i)+"\n" {
				t.Errorf("sandbox %d: %s", i, r)
			}
		})
	}
	all.Wait()
}

func waitInstance(t *testing.T, s *box) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.in.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

var requirements = []belljar.Requirement{
	belljar.ReqKernel, belljar.ReqReads, belljar.ReqWrites, belljar.ReqView, belljar.ReqNetwork, belljar.ReqProcesses,
	belljar.ReqSockets, belljar.ReqPrivileges, belljar.ReqCalls, belljar.ReqDescriptor, belljar.ReqTerminal, belljar.ReqMemory, belljar.ReqPids,
	belljar.ReqCPUs, belljar.ReqDisk, belljar.ReqFiles, belljar.ReqTime, belljar.ReqExec, belljar.ReqCommands, belljar.ReqDenied, belljar.ReqPrograms, belljar.ReqSupervisor, belljar.ReqDeath,
}

func probeComplete(t *testing.T, s *box) {
	c, err := s.b.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Tier != s.b.Name() || c.Version == "" {
		t.Errorf("tier %q, version %q", c.Tier, c.Version)
	}
	got := map[belljar.Requirement]belljar.Enforcement{}
	for _, e := range c.Requirements {
		got[e.Requirement] = e
	}
	for _, r := range requirements {
		e, ok := got[r]
		switch {
		case !ok:
			t.Errorf("%s has no answer", r)
		case e.Level != belljar.None && e.By == "":
			t.Errorf("%s is held by nothing", r)
		case e.Level != belljar.Enforced && e.Gap == "":
			t.Errorf("%s has a gap without a name", r)
		}
	}
}

func probeFast(t *testing.T, s *box) {
	best := time.Hour
	for range 20 {
		start := time.Now()
		if _, err := s.b.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	if best > time.Millisecond {
		t.Errorf("the fastest of 20 took %s", best)
	}
}

func argvClean(t *testing.T, s *box) {
	for pid, argv := range children() {
		if strings.Contains(argv, s.dir) || strings.Contains(argv, "HOME") {
			t.Errorf("process %d shows %q", pid, argv)
		}
	}
}

func listenUnix(name string) (net.Listener, error) { return net.Listen("unix", name) }
