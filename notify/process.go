package notify

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar/internal/confine"
	"github.com/belljar-dev/belljar/internal/confine/calls"
	"github.com/belljar-dev/belljar/internal/self"
	"github.com/belljar-dev/belljar/terminal"
	"golang.org/x/sys/unix"
)

// Argv0 is the name by which the program is the notifier.
const Argv0 = "belljar-notify"

// Options say what is told, and how.
type Options struct {
	Desktop bool    `json:"desktop,omitempty"`
	Webhook Webhook `json:"webhook,omitzero"`
	Ends    bool    `json:"ends,omitempty"`  // that a run ended
	Waits   bool    `json:"waits,omitempty"` // that something waits

	Sandbox string `json:"sandbox"` // its name
	ID      string `json:"id"`      // of the run
	// Say takes lines about what could not be told, without control characters.
	Say func(string) `json:"-"`
}

// A Webhook is where notes are posted to.
type Webhook struct {
	URL     string `json:"url,omitempty"`
	Headers string `json:"headers,omitempty"` // a file with the headers of requests; empty: none
}

const (
	patience = time.Minute // of a notifier when nothing comes any more
	maxLine  = 64 << 10
	queued   = 16 // notes that are not written yet
	maxText  = 400
	maxSaid  = 8 // lines about what could not be told
)

// A Sender hands notes to the notifiers, one for each way of telling.
type Sender struct {
	o    Options
	ways []*pipe
}

// Start starts the notifiers; env is the user's environment.
func Start(env []string, o Options) (*Sender, error) {
	s := &Sender{o: o}
	desktop, hook := o, o
	desktop.Webhook, hook.Desktop = Webhook{}, false
	for _, only := range []Options{desktop, hook} {
		if !only.Desktop && only.Webhook.URL == "" {
			continue
		}
		p, err := start(env, only)
		if err != nil {
			return nil, errors.Join(err, s.Cancel())
		}
		s.ways = append(s.ways, p)
	}
	return s, nil
}

// Tell has n be told. It never waits: what cannot be taken is counted.
func (s *Sender) Tell(n Note) {
	n.Sandbox, n.ID, n.Time = s.o.Sandbox, s.o.ID, now()
	for _, p := range s.ways {
		p.tell(n)
	}
}

// Close ends what Start began; what was handed over is told. It is idempotent.
func (s *Sender) Close() error {
	var errs []error
	for _, p := range s.ways {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}

// cancel is the event of a run that was not started.
const cancel = "cancel"

// Cancel closes s, and nothing more is told.
func (s *Sender) Cancel() error {
	s.Tell(Note{Event: cancel})
	return s.Close()
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// A pipe leads to one notifier.
type pipe struct {
	file  *os.File
	notes chan Note
	done  chan struct{} // closed when all is written

	mu      sync.Mutex
	dropped int
	closed  bool
}

func start(env []string, o Options) (*pipe, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	said, say, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	defer say.Close()
	c := self.Command(env, Argv0)
	if o.Desktop {
		c.Env = self.Environ(env, "DBUS_SESSION_BUS_ADDRESS")
	}
	c.Stdin, c.Stdout = r, say
	if err := c.Start(); err != nil {
		return nil, errors.Join(err, w.Close(), said.Close())
	}
	p := &pipe{file: w, notes: make(chan Note, queued), done: make(chan struct{})}
	go func() { _ = c.Wait() }() // it outlives us as a rule
	go listen(said, o.Say)
	go p.write(o)
	return p, nil
}

// listen passes on what a notifier says.
func listen(said *os.File, say func(string)) {
	defer said.Close()
	lines := bufio.NewScanner(io.LimitReader(said, maxLine))
	for n := 0; n < maxSaid && lines.Scan(); n++ {
		if say != nil {
			say("belljar: " + terminal.Escape(lines.Text()))
		}
	}
}

// write writes what is to be told, first the options.
func (p *pipe) write(o Options) {
	defer close(p.done)
	enc := json.NewEncoder(p.file)
	err := enc.Encode(o)
	for n := range p.notes {
		if err == nil {
			err = enc.Encode(n) // why a notifier is gone it has said
		}
	}
	_ = p.file.Close()
}

func (p *pipe) tell(n Note) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	n.More += p.dropped
	select {
	case p.notes <- n:
		p.dropped = 0
	default:
		p.dropped++
	}
}

// closeWait is how long the end of a run waits until it is handed over.
const closeWait = 2 * time.Second

func (p *pipe) close() error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	if !first {
		return nil
	}
	close(p.notes)
	select {
	case <-p.done:
		return nil
	case <-time.After(closeWait):
		return errors.New("the notifier takes nothing")
	}
}

// Reexec is the notifier when args[0] says so: then it does not return. Otherwise it returns
// false.
func Reexec(args []string) bool {
	if len(args) != 1 || args[0] != Argv0 {
		return false
	}
	if err := runProcess(os.Stdin, os.Stdout); err != nil {
		fmt.Println(terminal.Escape(err.Error()))
		os.Exit(1)
	}
	os.Exit(0)
	return true
}

func runProcess(in io.Reader, out io.Writer) error {
	if os.Geteuid() == 0 {
		return errors.New("the notifier does not run as root")
	}
	if err := closeRest(); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE) // of somebody's terminal
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	var o Options
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &o) != nil {
		return errors.New("it was told nothing")
	}
	w, err := prepare(context.Background(), o)
	if err != nil {
		return err
	}
	// Who speaks to the desktop holds what may do much in the user's session: it hears from
	// nobody else. Who speaks to the internet has nothing of the session.
	allow := confine.Options{Calls: calls.Options{Internet: !o.Desktop}}
	if !o.Desktop {
		allow.Read = confine.System(os.Getenv)
	}
	if err := confine.Self(allow); err != nil {
		return err
	}
	serve(lines, o, w, out)
	return nil
}

// A way tells notes.
type way struct {
	name string
	tell func(context.Context, Note) error
}

// prepare opens what cannot be opened later.
func prepare(ctx context.Context, o Options) (way, error) {
	if !o.Desktop {
		return way{"notify.webhook", newHook(o.Webhook).tell}, nil
	}
	d, err := openDesktop(ctx)
	if err != nil {
		return way{}, fmt.Errorf("notify.desktop: %w", err)
	}
	return way{"notify.desktop", d.tell}, nil
}

// serve tells what the lines say until they end and all is told, or patience is over.
func serve(lines *bufio.Scanner, o Options, w way, out io.Writer) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	b, done := newBox(), make(chan struct{})
	said := map[string]bool{}
	go func() {
		defer close(done)
		b.run(ctx, func(ctx context.Context, n Note) {
			err := w.tell(ctx, n)
			if err == nil {
				return
			}
			text := terminal.Escape(err.Error()) // some of it others say
			text = strings.ToValidUTF8(text[:min(len(text), maxText)], "")
			if len(said) < maxSaid && !said[text] {
				said[text] = true
				fmt.Fprintln(out, w.name+": "+text)
			}
		})
	}()
	read(lines, o, b)
	time.AfterFunc(patience, stop)
	<-done
}

// read puts notes into b until the supervisor is done, or gone.
func read(lines *bufio.Scanner, o Options, b *box) {
	ended := false
	for lines.Scan() {
		var n Note
		if json.Unmarshal(lines.Bytes(), &n) != nil {
			continue
		}
		ended = ended || n.Event == Ends || n.Event == cancel
		if n.Event == Ends && o.Ends || n.Event == Waits && o.Waits {
			b.put(n)
		}
	}
	if !ended && o.Ends {
		b.put(Note{Event: Ends, Sandbox: o.Sandbox, ID: o.ID, Time: now(), End: &End{Reason: "killed"}})
	}
	b.shut()
}
