// Package api is the control API of a running sandbox: the questions that wait, answers
// to them, and rules that are added. [Serve] is its server, in the supervisor, [Dial]
// its client, in the command line; both speak HTTP with JSON over a unix socket.
//
//	GET  /v1/questions        what waits: [Questions]
//	POST /v1/questions/ID     an [Answer]; back comes what was [Granted]
//	POST /v1/rules            a belljar.NetRule that holds from now on
//	GET  /v1/status           what it is doing: [Status]
//	POST /v1/stop             a [StopRequest]
//	POST /v1/exec             an [ExecRequest]; the connection becomes a stream
//	POST /v1/attach           an [AttachRequest]; the connection becomes a stream
//	POST /v1/take             a [TakeRequest], of a sandbox that waits; the connection becomes a stream
//
// An error is {"error": {"kind", "message", "hint"}}.
//
// # Streams
//
// With "Upgrade: belljar-stream/1", which is answered by 101, a connection becomes one of
// frames, both ways: a byte that names the kind, three of length, at most 32 KiB. Standard
// input, output and error are channels of it; of each at most 128 KiB are under way before
// the reader gives credit for more. So a reader who does not read one of them holds up
// neither the others, nor signals, nor sizes, nor the exit status; what each side keeps is
// bounded, and a frame that breaks the rules ends the connection. See [Stream].
//
// # Who may speak
//
// The socket lies in the sandbox's private folder (0700), is 0600, and a peer must have
// the supervisor's uid and live in its user namespace: a process inside that has the uid
// of its user has not the namespace. Nothing of the folder is visible inside.
//
// # Limitations
//
// Linux only. User namespaces are told apart by their maps, and by the PID namespaces that
// every sandbox has: where the supervisor itself lives in a user namespace, a process of its user in another
// one with the same map and no PID namespace of its own, which is no sandbox, may speak. On kernels before 6.5 a peer that ends while it is being looked at is told
// apart by its process ID alone.
package api

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/approval"
	"github.com/belljar-dev/belljar/internal/peer"
)

// SocketName is the socket's name in the sandbox's private folder.
const SocketName = "control"

const (
	maxBody     = 64 << 10 // of a request
	maxAnswer   = 4 << 20  // of a response
	maxRequests = 32       // connections at a time, without streams
	maxStreams  = 64
)

// A Control is a running sandbox. Its methods are safe for concurrent use.
type Control interface {
	// Questions lists what waits, the oldest first.
	Questions(ctx context.Context) ([]approval.Question, error)
	// Answer answers a question. [belljar.KindNoSuch]: it does not wait (any more);
	// [belljar.KindRefused]: it cannot be allowed so.
	Answer(ctx context.Context, id string, a approval.Answer) (Granted, error)
	// Allow adds a rule until the sandbox ends; by says who did.
	Allow(ctx context.Context, rule belljar.NetRule, by string) error
	// Exec starts a further command. It takes ownership of the files of c, also on error,
	// and fills in the rest of c from r. by says who asked.
	Exec(ctx context.Context, r ExecRequest, c *belljar.Command, by string) (belljar.Process, error)
	// Status says what the sandbox is doing.
	Status(ctx context.Context) (Status, error)
	// Stop sends SIGTERM to the sandbox's command, and ends the sandbox after grace. It
	// does not wait.
	Stop(ctx context.Context, grace time.Duration) error
	// Attach attaches somebody. [belljar.KindConflict]: it is not detached.
	Attach(ctx context.Context, r AttachRequest) (Viewer, error)
}

// Granted is what an answer came to.
type Granted struct {
	Question approval.Question `json:"question"`
	Allowed  bool              `json:"allowed"`
	Scope    approval.Scope    `json:"scope,omitempty"`
	// Rule is what was added, for the scopes that last.
	Rule *belljar.NetRule `json:"rule,omitempty"`
}

// Questions is the answer to what waits.
type Questions struct {
	Questions []approval.Question `json:"questions"`
}

// Answer is the body of an answer. Who answers is who speaks.
type Answer struct {
	Allow bool           `json:"allow"`
	Scope approval.Scope `json:"scope,omitempty"`
}

// fault is an error on its way.
type fault struct {
	Error struct {
		Kind    string `json:"kind"`
		Message string `json:"message"`
		Hint    string `json:"hint,omitempty"`
	} `json:"error"`
}

// kinds are the names of the kinds of errors that are carried.
func kinds() map[belljar.Kind]string {
	return map[belljar.Kind]string{
		belljar.KindInternal: "internal", belljar.KindUsage: "usage", belljar.KindRefused: "refused",
		belljar.KindNoSuch: "no-such", belljar.KindConflict: "conflict", belljar.KindNotHere: "not-here",
		belljar.KindNotFound: "not-found",
	}
}

// Listen makes the socket in dir, which is private. Whoever removes dir removes it.
func Listen(dir string) (*net.UnixListener, error) { return peer.Listen(dir, SocketName) }

// ended says whether err means that nobody listens any more.
func ended(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// ErrBroke says that a sandbox took a request and was gone before it answered: whether it did what was
// asked is not known.
var ErrBroke = errors.New("the connection to it ended before it answered")

// unanswered is the error of a request that was on its way when err came.
func unanswered(err error) (hint string, _ error) {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.EPIPE, syscall.ECONNRESET} {
		if errors.Is(err, e) {
			return "it may have ended: belljar ps tells", ErrBroke
		}
	}
	return "", err
}
