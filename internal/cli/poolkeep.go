package cli

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/meminfo"
	"github.com/belljar-dev/belljar/internal/peer"
	"github.com/belljar-dev/belljar/sandbox"
)

const (
	poolSettle = 300 * time.Millisecond // what a run that took one gets before the next is started
	poolAgain  = time.Second            // after a start that failed; longer each time
	poolTries  = 5                      // starts that fail, one after the other, end the pool
	poolAside  = 2 * time.Second        // for who changes what waits in the project
	poolShort  = 10 * time.Second       // until memory is looked at again
	poolLooks  = 2 * time.Second        // between looks whether what waits is stale
	poolEnd    = 20 * time.Second       // for what waits to end
	poolDisk   = 512 << 20              // that is left free
)

// A poolInfo is what a pool tells of itself.
type poolInfo struct {
	ID        string    `json:"id"`
	Number    int       `json:"number"`
	Warm      int       `json:"warm"`
	Taken     int       `json:"taken"`
	Started   time.Time `json:"started"`
	Tier      string    `json:"tier"`
	Workspace string    `json:"workspace"`
	Line      []string  `json:"line"` // of the runs that it is for
	Fault     string    `json:"fault,omitempty"`
}

// A pool keeps warm sandboxes. All of it happens in one goroutine, [pool.keep].
type pool struct {
	poolInfo
	dirs    sandbox.Dirs
	key     string
	members map[*member]bool
	events  chan func()
	calls   chan poolCall
	timer   *time.Timer

	notBefore time.Time
	looked    time.Time
	failed    int // starts, one after the other
	ready     func()
}

// A member is a warm sandbox's supervisor.
type member struct {
	cmd      *exec.Cmd
	keep     *os.File // its end tells the sandbox that nobody wants it
	words    *os.File
	key      string
	ready    bool
	taken    bool
	unwanted bool
	look     bool // it only tells the key
}

// A poolCall is a word that somebody said.
type poolCall struct {
	word string
	conn net.Conn
}

// keepPool is the process that keeps a pool, until it is stopped.
func (a *App) keepPool(ctx context.Context, f *planFlags, number int, line []string) error {
	if _, err := keepInherited(); err != nil {
		return &belljar.Error{Op: "look at what the caller left open", Err: err}
	}
	h, err := a.enter(f.paths()...)
	if err != nil {
		return err
	}
	fail := func(err error) error { return &belljar.Error{Op: "keep a pool", Err: err} }
	id := "pool-" + strings.ToLower(rand.Text()[:5])
	release, err := h.dirs.ClaimPool(id)
	if err != nil {
		return fail(err)
	}
	defer release()
	l, err := peer.Listen(h.dirs.Pool(id), poolSocket)
	if err != nil {
		return fail(err)
	}
	p := &pool{
		poolInfo: poolInfo{ID: id, Number: number, Started: time.Now(), Line: line[1:]},
		dirs:     h.dirs, members: map[*member]bool{}, events: make(chan func()), calls: make(chan poolCall), timer: time.NewTimer(0),
	}
	p.ready = func() {
		say := os.NewFile(fdReport, "report")
		_ = json.NewEncoder(say).Encode(p.poolInfo) // a caller who has gone asked for it all the same
		_ = say.Close()
		_ = redirectToNull(2)
		p.ready = nil
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go p.accept(l)
	err = p.keep(ctx, line, signals)
	p.end(ctx)
	return err
}

func redirectToNull(fd int) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	return redirect(int(null.Fd()), fd)
}

// accept hears who may speak, one after the other.
func (p *pool) accept(l *net.UnixListener) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return
		}
		word := ""
		if _, err = peer.Check(c); err == nil {
			word, err = readWord(c)
		}
		if err != nil {
			_ = c.Close()
			continue
		}
		p.calls <- poolCall{word, c}
	}
}

// keep keeps the pool until it is stopped, or nothing can be started any more.
func (p *pool) keep(ctx context.Context, line []string, signals <-chan os.Signal) error {
	for {
		if p.failed >= poolTries || p.failed > 0 && p.ready != nil {
			return &belljar.Error{Op: "start sandboxes for", ID: p.ID, Err: errors.New(p.Fault)}
		}
		if err := p.fill(line); err != nil {
			p.failed++
			p.Fault = err.Error()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-signals:
			return nil
		case f := <-p.events:
			f()
		case <-p.timer.C:
		case c := <-p.calls:
			if c.word == poolStop {
				return nil // whoever asked is told by our end
			}
			p.answer(c, line)
		}
	}
}

func (p *pool) answer(c poolCall, line []string) {
	defer c.conn.Close()
	_ = c.conn.SetWriteDeadline(time.Now().Add(time.Second))
	if c.word == poolStatus {
		_ = json.NewEncoder(c.conn).Encode(p.poolInfo)
		return
	}
	if c.word == poolClear+" "+strconv.Quote(p.Workspace) {
		p.notBefore = time.Now().Add(poolAside)
		for m := range p.members {
			p.dismiss(m)
		}
		return
	}
	if c.word == poolLook+" "+strconv.Quote(p.Workspace) && p.Warm > 0 && time.Since(p.looked) > poolLooks {
		p.looked = time.Now()
		_ = p.start(keyArgv0, line, true) // the next who finds nothing asks again
	}
}

// fill starts one more where one is missing, unless one is being started.
func (p *pool) fill(line []string) error {
	for m := range p.members {
		if !m.ready && !m.look && !m.taken {
			return nil
		}
	}
	if p.Warm >= p.Number {
		if p.ready != nil {
			p.ready()
		}
		return nil
	}
	if wait := time.Until(p.notBefore); wait > 0 {
		p.timer.Reset(wait)
		return nil
	}
	if why := short(p.dirs.State); why != "" {
		p.Fault = why
		if p.ready != nil {
			p.failed++
			return nil
		}
		p.timer.Reset(poolShort)
		return nil
	}
	p.Fault = ""
	p.notBefore = time.Now().Add(time.Millisecond)
	return p.start(warmArgv0, line, false)
}

// short says what this host has too little of for another sandbox; empty: nothing.
func short(state string) string {
	if m, ok := meminfo.Read("MemTotal", "MemAvailable"); ok {
		if total, free := m[0], m[1]; free < max(total/10, 256<<20) {
			return fmt.Sprintf("only %d MiB of memory are free", free>>20)
		}
	}
	if free, size := diskSpace(state); size > 0 && free < poolDisk {
		return "the disk is nearly full"
	}
	return ""
}

// start starts a supervisor, or what only looks.
func (p *pool) start(argv0 string, line []string, look bool) error {
	theirs, keep, err := os.Pipe()
	if err != nil {
		return err
	}
	defer theirs.Close()
	said, say, err := os.Pipe()
	if err != nil {
		_ = keep.Close()
		return err
	}
	defer say.Close()
	words, err := nameless(p.dirs.Runtime)
	if err != nil {
		return errors.Join(err, keep.Close(), said.Close())
	}
	m := &member{keep: keep, words: words, look: look}
	m.cmd = &exec.Cmd{
		Path: "/proc/self/exe", Args: append([]string{argv0}, line...), Env: os.Environ(), Stderr: words,
		ExtraFiles: []*os.File{say, theirs}, SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := m.cmd.Start(); err != nil {
		return errors.Join(err, keep.Close(), said.Close(), words.Close())
	}
	p.members[m] = true
	go p.hear(m, said)
	return nil
}

// hear tells the pool what m reports, and its end.
func (p *pool) hear(m *member, said *os.File) {
	for s := bufio.NewScanner(said); s.Scan(); {
		var r memberReport
		if json.Unmarshal(s.Bytes(), &r) == nil {
			p.events <- func() { p.reported(m, r) }
		}
	}
	_ = said.Close()
	_ = m.cmd.Wait()
	p.events <- func() { p.ended(m) }
}

func (p *pool) reported(m *member, r memberReport) {
	m.key = r.Key
	switch r.Step {
	case "ready":
		m.ready = true
		p.Warm++
		p.failed, p.Tier, p.Workspace = 0, r.Tier, r.Workspace
		p.current(r.Key)
	case "key":
		p.current(r.Key)
	case "taken":
		m.taken = true
		p.Warm--
		p.Taken++
		p.notBefore = time.Now().Add(poolSettle)
	}
}

// current is the likeness of what would be made now: what waits and is another is no use.
func (p *pool) current(key string) {
	p.key = key
	for m := range p.members {
		if m.ready && m.key != key {
			p.dismiss(m)
		}
	}
}

// dismiss ends m, unless somebody takes it first.
func (p *pool) dismiss(m *member) {
	if !m.unwanted && !m.taken {
		m.unwanted = true
		_ = m.keep.Close()
	}
}

func (p *pool) ended(m *member) {
	delete(p.members, m)
	_ = m.keep.Close()
	defer m.words.Close()
	if m.ready && !m.taken {
		p.Warm--
	}
	if m.taken || m.unwanted || m.look {
		return
	}
	p.notBefore = time.Now().Add(time.Duration(p.failed+1) * poolAgain)
	if m.ready {
		return // it was stopped, or killed
	}
	p.failed++
	b, _ := io.ReadAll(io.NewSectionReader(m.words, 0, 64<<10))
	p.Fault = strings.TrimPrefix(strings.TrimSpace(string(b)), "belljar: error: ")
	if p.Fault == "" {
		p.Fault = m.cmd.ProcessState.String()
	}
}

// end ends what waits, and waits for that.
func (p *pool) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), poolEnd)
	defer cancel()
	for m := range p.members {
		p.dismiss(m)
	}
	for {
		left := false
		for m := range p.members {
			left = left || !m.taken
		}
		if !left {
			return
		}
		select {
		case f := <-p.events:
			f()
		case c := <-p.calls:
			if c.word != poolStop {
				_ = c.conn.Close()
			}
		case <-ctx.Done():
			return
		}
	}
}
