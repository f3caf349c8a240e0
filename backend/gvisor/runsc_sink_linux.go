package gvisor

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	"gvisor.dev/gvisor/pkg/context"
	"gvisor.dev/gvisor/pkg/fd"
	"gvisor.dev/gvisor/pkg/sentry/seccheck"
	pb "gvisor.dev/gvisor/pkg/sentry/seccheck/points/points_go_proto"
	"gvisor.dev/gvisor/runsc/boot"
)

const (
	sinkName = "belljar"
	// maxArgv is how many bytes of one argument vector are kept.
	maxArgv = 32 << 10

	recordReady = 'r'
	recordExec  = 'e'
	recordExit  = 'x'
)

// gVisor finds sinks in a registry of its own, at the time when it reads its
// configuration; there is no other way in.
func init() {
	seccheck.RegisterSink(seccheck.SinkDesc{
		Name: sinkName,
		New: func(_ map[string]any, endpoint *fd.FD) (seccheck.Sink, error) {
			if endpoint == nil || endpoint.FD() < 0 {
				return nil, fmt.Errorf("sink %s has no socket", sinkName)
			}
			// gVisor goes on without a sink that it cannot make; the supervisor does not
			// without this greeting.
			if _, err := unix.Write(endpoint.FD(), []byte{recordReady}); err != nil {
				return nil, err
			}
			return &sink{endpoint: endpoint}, nil
		},
	})
}

// sinkConfig asks for every execve and every exit.
func sinkConfig() *boot.InitConfig {
	fields := []string{"time", "thread_id", "group_id", "cwd", "parent_thread_group_id"}
	return &boot.InitConfig{TraceSession: seccheck.SessionConfig{
		Name: seccheck.DefaultSessionName,
		Points: []seccheck.PointConfig{
			{Name: "sentry/execve", ContextFields: fields},
			{Name: "sentry/task_exit", ContextFields: fields[:3]},
		},
		Sinks: []seccheck.SinkConfig{{Name: sinkName}},
	}}
}

// A sink lives in the sentry. It writes every event to the supervisor before the
// system call goes on; while the supervisor does not read, the caller waits, and
// when the supervisor is gone the call fails.
type sink struct {
	seccheck.SinkDefaults
	endpoint *fd.FD
}

// Name implements seccheck.Sink.
func (*sink) Name() string { return sinkName }

// Execve implements seccheck.Sink. Its error is the error of the system call.
func (s *sink) Execve(_ context.Context, _ seccheck.FieldSet, info *pb.ExecveInfo) error {
	argv, cut := cutArgv(info.GetArgv(), maxArgv)
	return s.send(recordExec, &pb.ExecveInfo{
		ContextData: text(info.GetContextData()),
		BinaryPath:  strings.ToValidUTF8(info.GetBinaryPath(), replacement),
		Argv:        argv,
		BinarySize:  int64(cut), // the message has no field for it
	})
}

// TaskExit implements seccheck.Sink.
func (s *sink) TaskExit(_ context.Context, _ seccheck.FieldSet, info *pb.TaskExit) error {
	c := info.GetContextData()
	if c.GetThreadId() != c.GetThreadGroupId() {
		return nil // a thread, not the process
	}
	text(c)
	return s.send(recordExit, info)
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

func (s *sink) send(kind byte, m proto.Message) error {
	b, err := proto.MarshalOptions{}.MarshalAppend([]byte{kind}, m)
	if err != nil {
		return unix.EPERM
	}
	for {
		_, err = unix.Write(s.endpoint.FD(), b)
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return unix.EPERM
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
