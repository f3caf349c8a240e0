package gvisor

import (
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	pb "gvisor.dev/gvisor/pkg/sentry/seccheck/points/points_go_proto"

	"github.com/belljar-dev/belljar"
)

func message(t testing.TB, kind byte, m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if kind == recordExec {
		return append(number(kind, 0), b...)
	}
	return append([]byte{kind}, b...)
}

func TestDecodeEvent(t *testing.T) {
	ctx := &pb.ContextData{ThreadGroupId: 7, ParentThreadGroupId: 3, Cwd: "/w"}
	e, _, err := decodeEvent(message(t, recordExec, &pb.ExecveInfo{ContextData: ctx, BinaryPath: "/bin/x", Argv: []string{"x", "y"}, BinarySize: 5}))
	want := &belljar.ExecEvent{PID: 7, Parent: 3, Path: "/bin/x", Argv: []string{"x", "y"}, Dir: "/w", Truncated: 5}
	if err != nil || e.Kind != belljar.EventExec || !cmp.Equal(e.Exec, want) {
		t.Errorf("got %+v, %v, want %+v", e.Exec, err, want)
	}
	e, _, err = decodeEvent(message(t, recordExit, &pb.TaskExit{ContextData: ctx, ExitStatus: 9}))
	if err != nil || e.Exit == nil || e.Exit.Status.Signal != 9 || e.Exit.PID != 7 {
		t.Errorf("got %+v, %v", e.Exit, err)
	}
}

func FuzzDecodeEvent(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{recordReady})
	f.Add([]byte{recordExec, 0xff, 0xff})
	f.Add(number(recordLeft, 7))
	f.Add(append(number(recordExec, 9), 0x0a))
	f.Add(message(f, recordExec, &pb.ExecveInfo{BinaryPath: "/bin/x", Argv: []string{"x", strings.Repeat("y", maxArgv)}, BinarySize: -1}))
	f.Add(message(f, recordExit, &pb.TaskExit{ContextData: &pb.ContextData{ThreadGroupId: -1, TimeNs: -1}, ExitStatus: 0x7f}))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, id, err := decodeEvent(b)
		if err != nil || id != 0 && e.Exec == nil && e.Exit == nil {
			return
		}
		if (e.Exec == nil) == (e.Exit == nil) {
			t.Fatalf("%q gave %+v", b, e)
		}
		if e.Exec == nil {
			return
		}
		total := 0
		for _, a := range e.Exec.Argv {
			total += len(a)
		}
		if total > maxArgv || e.Exec.Truncated < 0 {
			t.Fatalf("kept %d bytes, cut %d", total, e.Exec.Truncated)
		}
	})
}

func TestCutArgv(t *testing.T) {
	for _, c := range []struct {
		argv []string
		max  int
		kept []string
		cut  int
	}{
		{nil, 4, nil, 0},
		{[]string{"ab", "c"}, 5, []string{"ab", "c"}, 0},
		{[]string{"abcdef"}, 4, []string{"abcd"}, 2},
		{[]string{"ab", "cdef", "g"}, 5, []string{"ab", "cd"}, 4},
	} {
		kept, cut := cutArgv(c.argv, c.max)
		if !cmp.Equal(kept, c.kept) || cut != c.cut {
			t.Errorf("cutArgv(%q, %d) = %q, %d, want %q, %d", c.argv, c.max, kept, cut, c.kept, c.cut)
		}
	}
}

func TestInitExec(t *testing.T) {
	env := []string{"PATH=/usr/local/bin:/usr/bin"}
	for _, c := range []struct {
		e    belljar.Exec
		want string // argv[0]
	}{
		{belljar.Exec{Path: "/usr/bin/node", Argv: []string{"node", "x"}, Dir: "/"}, "node"},
		{belljar.Exec{Path: "/opt/x/node", Argv: []string{"node"}, Dir: "/"}, "/opt/x/node"},
		{belljar.Exec{Path: "/w/run.sh", Argv: []string{"./run.sh"}, Dir: "/w"}, "./run.sh"},
		{belljar.Exec{Path: "/w/run.sh", Argv: []string{"./run.sh"}, Dir: "/"}, "/w/run.sh"},
		{belljar.Exec{Path: "/usr/bin/true", Argv: []string{"/usr/bin/true"}, Dir: "/"}, "/usr/bin/true"},
		{belljar.Exec{Path: "/usr/bin/true", Argv: []string{"other"}, Dir: "/"}, "/usr/bin/true"},
	} {
		got := initExec(c.e, env)
		if got.Argv[0] != c.want || len(got.Argv) != len(c.e.Argv) {
			t.Errorf("initExec(%+v) = %q, want argv[0] %q", c.e, got.Argv, c.want)
		}
	}
}

// TestOpener: questions and answers arrive as they were sent, whatever is in them.
func TestOpener(t *testing.T) {
	from, to := netip.MustParseAddrPort("10.0.0.2:40000"), netip.MustParseAddrPort("[fd00::2]:443")
	id, a, b, at := decodeQuestion([questionSize]byte(encodeQuestion(7, from, to, 1<<40)))
	if id != 7 || a != from || b != to || at != 1<<40 {
		t.Errorf("%d %s %s %d", id, a, b, at)
	}
	id, o, err := decodeAnswer(appendOpener(number(recordOpener, 9), "/usr/bin/x", "no\x00t\xff")[1:])
	if want := (belljar.Opened{Program: "/usr/bin/x", Refused: "no\ufffdt\ufffd"}); err != nil || id != 9 || o != want {
		t.Errorf("%d %+v %v", id, o, err)
	}
}

// TestNobodyAsked: an answer that nobody waits for is dropped.
func TestNobodyAsked(t *testing.T) {
	var q openers
	id, c, err := q.begin()
	if err != nil {
		t.Fatal(err)
	}
	q.take(id+1, belljar.Opened{Program: "another"})
	q.take(id, belljar.Opened{Program: "this"})
	q.take(id, belljar.Opened{Program: "again"})
	if o := <-c; o.Program != "this" || len(c) != 0 {
		t.Errorf("%+v", o)
	}
}

func FuzzDecodeAnswer(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendOpener(number(recordOpener, 1), "/usr/bin/x", "")[1:])
	f.Add(append(number(recordOpener, 1)[1:], "no end"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, o, err := decodeAnswer(b)
		if err == nil && (!utf8.ValidString(o.Program+o.Refused) || strings.Contains(o.Program+o.Refused, "\x00")) {
			t.Fatalf("%q gave %+v", b, o)
		}
	})
}

// TestScope: what a process was started with, and where its code is from.
func TestScope(t *testing.T) {
	for env, want := range map[string]string{"LD_PRELOAD=/x": "LD_PRELOAD", "LD_AUDIT=": "LD_AUDIT", "PATH=/LD_": "", "LDFLAGS=x": "", "GCONV_PATH=x": "GCONV_PATH", "OPENSSL_ia32cap=x": ""} {
		if got := loads([]string{"HOME=/", env}); got != want {
			t.Errorf("%s: %q", env, got)
		}
	}
	c := scopeOf(&belljar.Plan{
		Network: belljar.Network{Credentials: []belljar.Credential{{Programs: []string{"/usr/bin/x"}}}},
		Mounts: []belljar.Mount{
			{Kind: belljar.MountBind, Target: "/usr", ReadOnly: true}, {Kind: belljar.MountTmpfs, Target: "/tmp"}, {Kind: belljar.MountBind, Target: "/usr/local/w"},
		},
		Workspace: belljar.Workspace{Views: []belljar.View{{Target: "/usr/src/p", ReadOnly: true}}},
	})
	s := newScope(c)
	for p, want := range map[string]bool{
		"/usr/lib/x.so": true, "/usr": true, "/usrx": false, "/tmp/x": false, "/usr/local/w/x": false, "/usr/src/p/x": false, "/usr/../tmp/x": false, "": false, "usr/x": false,
		"(unreachable)/usr/x": false, "/memfd:/usr/x (deleted)": false,
	} {
		if got := s.fixed(p); got != want {
			t.Errorf("%q: %t", p, got)
		}
	}
	if scopeOf(&belljar.Plan{Network: belljar.Network{Credentials: []belljar.Credential{{Programs: []string{"/x"}, Withheld: true}, {}}}}) != nil {
		t.Error("a scope that nobody asked for")
	}
}
