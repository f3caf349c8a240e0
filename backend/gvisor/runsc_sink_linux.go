package gvisor

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/belljar-dev/belljar/internal/ablate"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	"gvisor.dev/gvisor/pkg/context"
	"gvisor.dev/gvisor/pkg/errors/linuxerr"
	"gvisor.dev/gvisor/pkg/fd"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/sentry/seccheck"
	pb "gvisor.dev/gvisor/pkg/sentry/seccheck/points/points_go_proto"
	"gvisor.dev/gvisor/runsc/boot"
)

const (
	sinkName = "belljar"
	// maxArgv is how many bytes of one argument vector are kept.
	maxArgv = 32 << 10

	recordReady = 'r'
	recordExec  = 'e' // its number, if an answer is awaited, else 0; the message
	recordExit  = 'x'
	recordLeft  = 'l' // the number of an execve that waits no more

	idSize = 8

	recordOpener = 'o' // the number of a question who opened a connection; the answer

	configAsk   = "ask"
	configScope = "scope"
)

// gVisor finds sinks in a registry of its own, at the time when it reads its
// configuration; there is no other way in.
func init() {
	seccheck.RegisterSink(seccheck.SinkDesc{
		Name: sinkName,
		New: func(config map[string]any, endpoint *fd.FD) (seccheck.Sink, error) {
			if endpoint == nil || endpoint.FD() < 0 {
				return nil, fmt.Errorf("sink %s has no socket", sinkName)
			}
			// gVisor goes on without a sink that it cannot make; the supervisor does not
			// without this greeting.
			if _, err := unix.Write(endpoint.FD(), []byte{recordReady}); err != nil {
				return nil, err
			}
			s := &sink{endpoint: endpoint}
			if ask, _ := config[configAsk].(bool); ask {
				s.asks = newAsker()
			}
			if err := s.makeScope(config[configScope]); err != nil {
				return nil, err
			}
			if s.asks != nil || s.scope != nil {
				go s.read()
			}
			return s, nil
		},
	})
}

// sinkConfig asks for every execve and every exit; with ask, each execve waits for an
// answer.
func sinkConfig(ask bool, scope *scopeConfig) *boot.InitConfig {
	fields := []string{"time", "thread_id", "group_id", "cwd", "parent_thread_group_id"}
	return &boot.InitConfig{TraceSession: seccheck.SessionConfig{
		Name: seccheck.DefaultSessionName,
		Points: []seccheck.PointConfig{
			{Name: "sentry/execve", ContextFields: fields},
			{Name: "sentry/task_exit", ContextFields: fields[:3]},
		},
		Sinks: []seccheck.SinkConfig{{Name: sinkName, Config: map[string]any{configAsk: ask, configScope: scope}}},
	}}
}

// A sink lives in the sentry. It writes every event to the supervisor before the
// system call goes on; while the supervisor does not read, the caller waits, and
// when the supervisor is gone the call fails.
type sink struct {
	seccheck.SinkDefaults
	endpoint *fd.FD
	asks     *asker // nil: every program may run
	scope    *scope // nil: nobody asks who opened a connection
}

// Name implements seccheck.Sink.
func (*sink) Name() string { return sinkName }

// Execve implements seccheck.Sink. Its error is the error of the system call. What is
// judged is what will run: the vector is the kernel's copy, which no thread can change.
func (s *sink) Execve(ctx context.Context, _ seccheck.FieldSet, info *pb.ExecveInfo) error {
	err := s.mayExecve(ctx, info)
	if err == nil {
		s.scope.executes(kernel.TaskFromContext(ctx), info.GetEnv())
	}
	return err
}

func (s *sink) mayExecve(ctx context.Context, info *pb.ExecveInfo) error {
	if s.asks == nil && ablate.Off(ablate.Record) {
		return nil
	}
	argv, cut := cutArgv(info.GetArgv(), maxArgv)
	m := &pb.ExecveInfo{
		ContextData: text(info.GetContextData()),
		BinaryPath:  strings.ToValidUTF8(info.GetBinaryPath(), replacement),
		Argv:        argv,
		BinarySize:  int64(cut), // the message has no field for it
	}
	if e := info.GetExecfn(); e != info.GetBinaryPath() {
		m.Execfn = strings.ToValidUTF8(e, replacement)
	}
	if s.asks == nil {
		return s.send(recordExec, 0, m)
	}
	m.BinarySha256 = digest(info.GetArgv()) // a field that nothing else uses
	id, answer, err := s.asks.begin()
	if err != nil {
		return err
	}
	if err := s.send(recordExec, id, m); err != nil {
		s.asks.forget(id)
		return err
	}
	run, interrupted := s.asks.wait(ctx, answer)
	if interrupted {
		s.asks.forget(id)
		if err := s.write(number(recordLeft, id)); err != nil {
			return err
		}
		// The signal ends the process, or is handled and the program asked for again:
		// execve is never interrupted.
		return linuxerr.ERESTARTNOINTR
	}
	if !run {
		return unix.EPERM
	}
	return nil
}

// TaskExit implements seccheck.Sink.
func (s *sink) TaskExit(_ context.Context, _ seccheck.FieldSet, info *pb.TaskExit) error {
	c := info.GetContextData()
	if c.GetThreadId() != c.GetThreadGroupId() {
		return nil // a thread, not the process
	}
	if c.GetThreadGroupId() != 1 && ablate.Off(ablate.Record) { // how the first one ends is waited for
		return nil
	}
	text(c)
	return s.send(recordExit, 0, info)
}

// replacement stands for bytes that are not UTF-8, which a message cannot hold.
const replacement = "\ufffd"

// text makes the names in c ones that a message can hold.
func text(c *pb.ContextData) *pb.ContextData {
	if c != nil {
		c.Cwd, c.ProcessName = strings.ToValidUTF8(c.GetCwd(), replacement), strings.ToValidUTF8(c.GetProcessName(), replacement)
	}
	return c
}

// digest tells vectors of arguments apart, however long they are and whatever they hold.
func digest(argv []string) []byte {
	h := sha256.New()
	for _, a := range argv {
		h.Write([]byte(a))
		h.Write([]byte{0}) // no argument holds one
	}
	return h.Sum(nil)
}

// number is the head of a message that has one.
func number(kind byte, id uint64) []byte {
	return binary.LittleEndian.AppendUint64([]byte{kind}, id)
}

func (s *sink) send(kind byte, id uint64, m proto.Message) error {
	head := []byte{kind}
	if kind == recordExec {
		head = number(kind, id)
	}
	b, err := proto.MarshalOptions{}.MarshalAppend(head, m)
	if err != nil {
		return unix.EPERM
	}
	return s.write(b)
}

func (s *sink) write(b []byte) error {
	for {
		_, err := unix.Write(s.endpoint.FD(), b)
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return unix.EPERM
		}
	}
}

// read takes what the supervisor sends: answers, and questions who opened a connection. When
// it is gone nothing more is executed.
func (s *sink) read() {
	var b [questionSize]byte
	for {
		n, err := unix.Read(s.endpoint.FD(), b[:])
		switch {
		case err == unix.EINTR:
		case err == nil && n == answerSize && s.asks != nil:
			s.asks.answer(binary.LittleEndian.Uint64(b[:8]), b[8] == answerRun)
		case err == nil && n == questionSize && s.scope != nil:
			id, from, to, at := decodeQuestion(b)
			program, fault := s.scope.opened(from, to, at)
			_ = s.write(appendOpener(number(recordOpener, id), program, fault)) // gone: read sees it too
		default:
			s.asks.end()
			return
		}
	}
}

// cutArgv keeps the first max bytes of argv, as text, and says how many it cut.
func cutArgv(argv []string, max int) (kept []string, cut int) {
	for i, a := range argv {
		if len(a)+1 > max {
			kept = append(kept, strings.ToValidUTF8(a[:max], replacement))
			cut = len(a) - max
			for _, rest := range argv[i+1:] {
				cut += len(rest) + 1
			}
			return kept, cut
		}
		kept = append(kept, strings.ToValidUTF8(a, replacement))
		max -= len(a) + 1
	}
	return kept, 0
}
