package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	collogs "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	coltrace "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

// A telemetry is a receiver that can be away. It keeps one of each id.
type telemetry struct {
	t    *testing.T
	addr string

	mu    sync.Mutex
	seqs  map[string][]int64 // by sandbox
	kinds map[string]int     // by sandbox and kind
	uids  map[string]bool
	spans map[string]string // names, by id
	key   string
}

// newTelemetry takes a port at which nobody listens, and keeps it from others: a socket has it
// that does not listen.
func newTelemetry(t *testing.T) *telemetry {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.CloseOnExec(fd)
	t.Cleanup(func() { _ = unix.Close(fd) })
	err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1), unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	at, err2 := unix.Getsockname(fd)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", at.(*unix.SockaddrInet4).Port)
	return &telemetry{t: t, addr: addr, seqs: map[string][]int64{}, kinds: map[string]int{}, uids: map[string]bool{}, spans: map[string]string{}}
}

// listen serves until stop.
func (m *telemetry) listen() (stop func()) {
	m.t.Helper()
	beside := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		_ = c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		return err
	}}
	l, err := beside.Listen(m.t.Context(), "tcp", m.addr)
	if err != nil {
		m.t.Fatal(err)
	}
	s := &http.Server{Handler: m}
	go s.Serve(l)
	return func() { _ = s.Close() }
}

func (m *telemetry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	z, err := gzip.NewReader(q.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	b, err := io.ReadAll(z)
	if err == nil && q.URL.Path == "/v1/logs" {
		err = m.logs(b)
	} else if err == nil {
		err = m.traces(b)
	}
	if err != nil {
		m.t.Error(err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	m.key = q.Header.Get("X-Key")
}

func (m *telemetry) logs(b []byte) error {
	var q collogs.ExportLogsServiceRequest
	if err := proto.Unmarshal(b, &q); err != nil {
		return err
	}
	name := ""
	for _, a := range q.ResourceLogs[0].Resource.Attributes {
		if a.Key == "belljar.sandbox.name" {
			name = a.Value.GetStringValue()
		}
	}
	for _, l := range q.ResourceLogs[0].ScopeLogs[0].LogRecords {
		seq, uid := int64(-1), ""
		for _, a := range l.Attributes {
			switch a.Key {
			case "belljar.seq":
				seq = a.Value.GetIntValue()
			case "log.record.uid":
				uid = a.Value.GetStringValue()
			}
		}
		if !m.uids[uid] {
			m.uids[uid] = true
			m.seqs[name] = append(m.seqs[name], seq)
			m.kinds[name+" "+l.EventName]++
		}
	}
	return nil
}

func (m *telemetry) traces(b []byte) error {
	var q coltrace.ExportTraceServiceRequest
	if err := proto.Unmarshal(b, &q); err != nil {
		return err
	}
	for _, s := range q.ResourceSpans[0].ScopeSpans[0].Spans {
		m.spans[string(s.SpanId)] = s.Name
	}
	return nil
}

// ended says whether all of the record of name is here, in order.
func (m *telemetry) ended(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	run := false
	for _, s := range m.spans {
		run = run || s == "run "+name
	}
	for i, seq := range m.seqs[name] {
		if int64(i) != seq {
			m.t.Fatalf("%s: event %d comes as number %d", name, seq, i)
		}
	}
	return run && m.kinds[name+" belljar.end"] == 1
}

// sender is the process that sends to addr; 0: there is none.
func (m *telemetry) sender() int {
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		m.t.Fatal(err)
	}
	for _, f := range all {
		b, err := os.ReadFile(f)
		if err == nil && bytes.HasPrefix(b, []byte("belljar-send\x00")) && bytes.Contains(b, []byte(m.addr)) {
			pid, _ := strconv.Atoi(strings.Split(f, "/")[2])
			return pid
		}
	}
	return 0
}

func (m *telemetry) await(what string, within time.Duration, ok func() bool) {
	m.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(within); !ok(); {
		select {
		case <-tick.C:
		case <-late:
			m.t.Fatalf("%s: it does not come", what)
		}
	}
}

// TestTelemetry: records arrive once and in order, though the receiver is away when the
// run begins and ends, and the sender is killed; a run does not wait for any of that.
func TestTelemetry(t *testing.T) {
	w, m := newWorld(t), newTelemetry(t)
	w.write(filepath.Join(w.home, "headers"), "X-Key: "+homeSecret+"\n")
	w.write(filepath.Join(w.home, ".config/belljar/policy.yaml"),
		fmt.Sprintf("version: 1\notlp: {endpoint: \"http://%s\", headers: ~/headers}\n", m.addr))
	began := time.Now()
	if r := w.belljar("run", "--name", "first", "--", "sh", "-c", "true; ls /; echo x > y"); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	t.Logf("the run took %v while nobody listened", time.Since(began))
	pid := m.sender()
	if pid == 0 {
		t.Fatal("nobody sends")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	m.await("the end of the sender", hangs, func() bool { return m.sender() == 0 })
	down := downTime()
	select { // the receiver is away
	case <-time.After(down):
	case <-t.Context().Done():
	}
	stop := m.listen()
	defer func() { stop() }()
	w.belljar("log", "--list") // any command goes on
	m.await("the first record", hangs, func() bool { return m.ended("first") })

	// While a run goes on the receiver goes away and comes back.
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	c := w.cmd(ctx, "run", "--name", "second", "--", "sh", "-c", "ls / > /dev/null; cat; ls / > /dev/null")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	m.await("the beginning of the second", hangs, func() bool { m.mu.Lock(); defer m.mu.Unlock(); return m.kinds["second belljar.exec"] > 0 })
	stop()
	_ = in.Close()
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	stop = m.listen()
	m.await("the second record", hangs, func() bool { return m.ended("second") })
	m.await("the end of the sender", hangs, func() bool { return m.sender() == 0 })
	if m.key != homeSecret {
		t.Errorf("the header of the file: %q", m.key)
	}
	if ownKernel() && m.kinds["second belljar.exec"] < 3 {
		t.Errorf("%v", m.kinds)
	}
	mustLack(t, "the policy as it is shown", w.belljar("policy", "show").out, homeSecret)
}

// downTime is how long the receiver is away: a minute where there is time for it.
func downTime() time.Duration {
	if os.Getenv("BELLJAR_SOAK") != "" {
		return time.Minute
	}
	return time.Second
}

// TestTelemetryPolicy: a project cannot say where records go, and headers that cannot be
// read end the run before it begins.
func TestTelemetryPolicy(t *testing.T) {
	w := newWorld(t)
	w.write("belljar.yaml", "version: 1\notlp: {endpoint: \"https://evil.test\"}\n")
	r := w.belljar("run", "--", "true")
	if r.status == 0 || !strings.Contains(r.errout, "a project's file cannot say where records go") {
		t.Errorf("%+v", r)
	}
	if err := os.Remove(filepath.Join(w.proj, "belljar.yaml")); err != nil {
		t.Fatal(err)
	}
	w.write(filepath.Join(w.home, ".config/belljar/policy.yaml"), "version: 1\notlp: {endpoint: \"https://otel.test\", headers: ~/none}\n")
	if r := w.belljar("run", "--", "true"); r.status != 2 || !strings.Contains(r.errout, "read headers of requests") {
		t.Errorf("%+v", r)
	}
}
