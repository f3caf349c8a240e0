package limit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/belljar-dev/belljar"
)

// The bounds of the time between two samples of memory, and the time between two
// samples of the disk. IdleInterval takes the place of MaxInterval when a sandbox
// did nothing for QuietTime: hundreds that wait cost a machine next to nothing.
const (
	MaxInterval  = 100 * time.Millisecond
	MinInterval  = 5 * time.Millisecond
	IdleInterval = time.Second
	QuietTime    = time.Second
	DiskInterval = 500 * time.Millisecond
)

// How many samples in a row may fail, and how long one may take, before the
// sandbox is ended: what cannot be watched must not run.
const (
	usageFailures = 20
	diskFailures  = 10
	usageTimeout  = 2 * time.Second
)

// diskShare bounds the work of counting: a count that took a second is followed by
// a pause of at least so many.
const diskShare = 20

// Options say what [Watch] watches.
type Options struct {
	Limits belljar.Limits
	// Usage samples memory, processes and CPU; it is called up to 200 times a second.
	Usage func(ctx context.Context) (belljar.Usage, error)
	// Disk counts the bytes that the run added; nil where the tier or the view
	// enforces the limit by itself. It is called at most twice a second, less often
	// when it is slow, from its own goroutine, so that a slow disk never delays a
	// sample of memory. An error may pass; many in a row end the sandbox.
	Disk func() (int64, error)
	// Events receives every limit that is reached; nil for none.
	Events belljar.EventSink
	// Kill ends the sandbox at once. It is called at most once and must not wait.
	Kill func()
	// Report is told of every limit that is reached, before Kill and before the
	// event is written; it must not wait. Nil for none.
	Report func(belljar.LimitEvent)
	// MaxMemory is told of every new peak of memory; nil for none.
	MaxMemory func(int64)
}

// Watch samples a sandbox until ctx is done or a limit ends it. It returns nil
// when ctx ended it, or after it called Kill for a limit; an error when usage
// could not be read any more or a limit not be recorded, which also calls Kill. It owns its goroutines: none
// is left when it returns.
func Watch(ctx context.Context, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{o: o, began: time.Now(), disk: -1, notice: true}
	counts := w.startDisk(ctx)
	defer func() {
		cancel()
		for range counts { // wait until the counter is gone
		}
	}()
	disk := counts
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case c, ok := <-disk:
			if !ok {
				disk = nil
				continue
			}
			if c.err != nil {
				w.o.Kill()
				return c.err
			}
			if c.bytes == w.disk {
				continue // nothing to judge anew
			}
			w.disk = c.bytes
		case <-timer.C:
		}
		next, ended, err := w.sample(ctx)
		if ended || err != nil {
			return err
		}
		timer.Reset(next)
	}
}

type watch struct {
	o      Options
	began  time.Time
	disk   int64
	failed int
	notice bool // a notice may be told: it is told once per crossing

	lastAt  time.Time
	lastMem int64
	lastCPU time.Duration
	quiet   time.Duration // how long it has done nothing
	peak    int64
}

// A count is what is known of the disk, or why it can not be known.
type count struct {
	bytes int64
	err   error
}

// startDisk counts the disk aside and sends each count. The channel is closed
// when ctx is done, or at once where there is nothing to count.
func (w *watch) startDisk(ctx context.Context) chan count {
	c := make(chan count)
	if w.o.Disk == nil || w.o.Limits.Disk <= 0 {
		close(c)
		return c
	}
	go func() {
		defer close(c)
		t := time.NewTimer(DiskInterval)
		defer t.Stop()
		failed := 0
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			begin := time.Now()
			n, err := w.o.Disk()
			t.Reset(max(DiskInterval, diskShare*time.Since(begin)))
			if err == nil {
				failed = 0
			} else if failed++; failed < diskFailures {
				continue // a folder may be renamed under the count: the next one tells
			} else {
				err = fmt.Errorf("count what the sandbox wrote: %w", err)
			}
			select {
			case c <- count{n, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return c
}

// sample takes one sample, acts on it and says how long to wait for the next.
func (w *watch) sample(ctx context.Context) (next time.Duration, ended bool, err error) {
	asked, cancel := context.WithTimeout(ctx, usageTimeout)
	u, err := w.o.Usage(asked)
	cancel()
	if ctx.Err() != nil {
		return 0, true, nil
	}
	if err != nil {
		return w.usageFailed(err)
	}
	w.failed = 0
	if u.Memory > w.peak {
		w.peak = u.Memory
		if w.o.MaxMemory != nil {
			w.o.MaxMemory(u.Memory)
		}
	}
	now := time.Now()
	d := Decide(w.o.Limits, Sample{Usage: u, Elapsed: now.Sub(w.began), Disk: w.disk})
	if d.End != nil {
		// Recording comes last: it may block for the disk, and every millisecond
		// is memory of the host.
		w.report(*d.End)
		w.o.Kill()
		return 0, true, w.record(ctx, *d.End)
	}
	if d.Notice == nil {
		w.notice = true
	} else if w.notice {
		w.notice = false
		w.report(*d.Notice)
		if err := w.record(ctx, *d.Notice); err != nil {
			w.o.Kill()
			return 0, true, err
		}
	}
	s := Step{Now: u.Memory, Before: w.lastMem, Between: now.Sub(w.lastAt), First: w.lastAt.IsZero()}
	if w.quiet += s.Between; s.First || !idle(s, u.CPU-w.lastCPU) {
		w.quiet = 0
	}
	s.Quiet = w.quiet
	next = Next(w.o.Limits, s)
	w.lastAt, w.lastMem, w.lastCPU = now, u.Memory, u.CPU
	if left := w.o.Limits.Time - now.Sub(w.began); w.o.Limits.Time > 0 && left < next {
		next = left
	}
	return next, false, nil
}

func (w *watch) usageFailed(err error) (time.Duration, bool, error) {
	w.failed++
	if errors.Is(err, context.DeadlineExceeded) {
		w.failed += usageFailures / 4
	}
	if l := w.o.Limits.Time; l > 0 && time.Since(w.began) >= l {
		w.failed = usageFailures
	}
	if w.failed < usageFailures {
		return MinInterval, false, nil
	}
	w.o.Kill()
	return 0, true, fmt.Errorf("read usage of sandbox: %w", err)
}

func (w *watch) report(e belljar.LimitEvent) {
	if w.o.Report != nil {
		w.o.Report(e)
	}
}

// record writes the event. It is written also when the end of the run has
// cancelled ctx meanwhile: a limit event is never dropped.
func (w *watch) record(ctx context.Context, e belljar.LimitEvent) error {
	if w.o.Events == nil {
		return nil
	}
	err := w.o.Events.Record(context.WithoutCancel(ctx), belljar.Event{Kind: belljar.EventLimit, Limit: &e})
	if err != nil {
		return fmt.Errorf("record limit %s: %w", e.Limit, err)
	}
	return nil
}

// A Step is the change of memory between two samples.
type Step struct {
	Now, Before int64
	Between     time.Duration
	First       bool          // there was no sample before
	Quiet       time.Duration // how long the sandbox has used no processor and no more memory
}

// idle says whether a sandbox that used so much processor time in the step waits
// for something: a fiftieth of a processor and a megabyte are a clock that ticks.
func idle(s Step, cpu time.Duration) bool {
	const little = 1 << 20
	return cpu <= s.Between/50 && s.Now-s.Before <= little
}

// Next says when to sample again: at half the time in which memory would reach
// its limit at the present rate, between [MinInterval] and [MaxInterval], or
// [IdleInterval] when the sandbox waits. Near the limit it is short whatever the
// rate, because a rate can change.
func Next(l belljar.Limits, s Step) time.Duration {
	left := l.Memory - s.Now
	longest := MaxInterval
	if s.Quiet >= QuietTime {
		longest = IdleInterval
	}
	if l.Memory <= 0 {
		return longest
	}
	if s.First || left <= 0 {
		return MinInterval
	}
	next := longest
	if grown := s.Now - s.Before; grown > 0 && s.Between > 0 {
		// In floating point: left times nanoseconds overflows 64 bits.
		reach := float64(left) / float64(grown) * float64(s.Between)
		next = min(next, time.Duration(min(reach/2, float64(longest))))
	}
	// A burst that begins now at four gigabytes a second must not cross the limit
	// by more than an eighth of it before the next sample.
	const burst = 4 << 30
	reach := float64(left+l.Memory/8) / burst * float64(time.Second)
	next = min(next, time.Duration(min(reach, float64(longest))))
	return max(next, MinInterval)
}
