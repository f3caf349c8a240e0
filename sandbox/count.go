package sandbox

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/ablate"
)

// A counter passes events on to the record and keeps what the closing lines need.
type counter struct {
	next      belljar.EventSink
	published chan belljar.NetEvent // has room for each port that the plan publishes

	mu       sync.Mutex
	commands int
	refused  int                  // connections, requests and programs
	doing    []string             // the command that was executed last
	since    time.Time            // when
	stopped  int                  // programs that a rule kept from running
	failed   []belljar.NetEvent   // allowed, but could not be reached
	files    map[string]seen      // by path, at most maxPaths
	more     int                  // events of paths that are not in files
	morePass int                  // of more: what passed
	limits   []belljar.LimitEvent // reached, in order, each limit once
	used     []string             // credentials that were put in, with the host; at most maxFailed
	leaks    []string             // those that were to be carried elsewhere, refused; at most maxFailed
}

// publishWait bounds the wait for the gateway to say where its ports are.
const publishWait = 5 * time.Second

// printPublished says where the ports are reached that c.published has room for, each
// as soon as it is.
func (c *counter) printPublished(ctx context.Context, w io.Writer) {
	ctx, cancel := context.WithTimeout(ctx, publishWait)
	defer cancel()
	for range cap(c.published) {
		select {
		case n := <-c.published:
			fmt.Fprintf(w, "belljar: port %d of the sandbox is reached at %s:%d\n", n.Port, n.Addr, n.Port)
		case <-ctx.Done():
			return
		}
	}
}

const (
	maxPaths  = 20_000
	maxFailed = 100
)

// Record implements [belljar.EventSink].
func (c *counter) Record(ctx context.Context, e belljar.Event) error {
	if e.Kind == belljar.EventRefuse {
		c.mu.Lock()
		c.refused++
		c.mu.Unlock()
	}
	switch {
	case e.Exec != nil && e.Exec.Refused == "":
		c.mu.Lock()
		c.commands++
		c.doing, c.since = e.Exec.Argv, time.Now()
		c.mu.Unlock()
	case e.Exec != nil:
		c.mu.Lock()
		c.stopped++
		c.refused++
		c.mu.Unlock()
	case e.File != nil:
		c.file(*e.File)
	case e.Kind == belljar.EventPublish && e.Net != nil:
		select {
		case c.published <- *e.Net:
		default: // nobody asked for it
		}
	case e.Kind == belljar.EventConnect && e.Net != nil && e.Net.Reason != "" && e.Net.Received == 0:
		c.mu.Lock()
		if len(c.failed) < maxFailed {
			c.failed = append(c.failed, *e.Net)
		}
		c.mu.Unlock()
	case e.Kind == belljar.EventRequest && e.Net != nil && e.Net.Credential != "" && e.Net.Status != 0:
		c.credential(&c.used, e.Net)
	case e.Kind == belljar.EventRefuse && e.Net != nil && e.Net.Credential != "":
		c.credential(&c.leaks, e.Net)
	case e.Limit != nil:
		c.limit(*e.Limit)
	}
	if ablate.Off(ablate.Record) {
		return nil
	}
	return c.next.Record(ctx, e)
}

// maxDoing is how much of a command line is told.
const maxDoing = 400

// now says how much was refused until now, and what was executed last and when. The
// command holds whatever it held inside.
func (c *counter) now() (refused int, doing string, since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	doing = strings.Join(c.doing, " ")
	return c.refused, strings.ToValidUTF8(doing[:min(len(doing), maxDoing)], "\ufffd"), c.since
}

// restart forgets what the tier itself ran before the command was there.
func (c *counter) restart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commands, c.doing, c.since = 0, nil, time.Time{}
}

// credential notes that a credential went to a host, or was to go there, once.
func (c *counter) credential(list *[]string, n *belljar.NetEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(*list) < maxFailed {
		*list = appendNew(*list, n.Credential+" to "+n.Host)
	}
}

func (c *counter) file(e belljar.FileEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was, known := c.files[e.Path]
	switch e.Op {
	case "create", "mkdir", "symlink", "link":
		was.born = !known
	case "remove":
		if was.born { // it came and went
			delete(c.files, e.Path)
			return
		}
	case "rename":
		if was.born { // what was written under another name first
			delete(c.files, e.Path)
			e.Path, e.To = e.To, ""
			was = seen{}
			_, known = c.files[e.Path]
		}
	}
	if !known && len(c.files) >= maxPaths {
		c.more++
		if e.Verdict == "pass" {
			c.morePass++
		}
		return
	}
	if c.files == nil {
		c.files = map[string]seen{}
	}
	c.files[e.Path] = seen{e, was.born}
	if e.Op == "rename" && e.To != "" && e.Verdict == "hold" && len(c.files) < maxPaths {
		to := e // what waits now has the other name
		to.Path, to.To = e.To, ""
		c.files[to.Path] = seen{to, c.files[to.Path].born}
	}
}

// seen is the last event of a path.
type seen struct {
	belljar.FileEvent
	born bool // the run made it; the host had nothing there
}

// changed says whether the run changed path, or something below it; mu is held.
func (c *counter) changed(path string) bool {
	e, ok := c.files[path]
	return ok && e.Verdict == "hold"
}

// limit notes a limit that was reached: the first time, and again when it is the
// one that ends the run.
func (c *counter) limit(e belljar.LimitEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.limits {
		if c.limits[i].Limit == e.Limit {
			c.limits[i].Ended = c.limits[i].Ended || e.Ended
			return
		}
	}
	c.limits = append(c.limits, e)
}

// reached lists the limits that were reached.
func (c *counter) reached() []belljar.LimitEvent {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.limits)
}
