package limit

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/belljar-dev/belljar"
)

// A sandbox that uses what a function of time says, in fake time.
type fake struct {
	began   time.Time
	memory  func(time.Duration) int64
	procs   func(time.Duration) int
	busy    int // percent of a processor in use
	err     error
	samples atomic.Int64
	killed  atomic.Int64 // nanoseconds after began, 0: not
	kills   atomic.Int64
	events  []belljar.LimitEvent
	reports []belljar.LimitEvent
}

func (f *fake) Usage(context.Context) (belljar.Usage, error) {
	f.samples.Add(1)
	if f.err != nil {
		return belljar.Usage{}, f.err
	}
	at := time.Since(f.began)
	u := belljar.Usage{Processes: 1, CPU: at * time.Duration(f.busy) / 100}
	if f.memory != nil {
		u.Memory = f.memory(at)
	}
	if f.procs != nil {
		u.Processes = f.procs(at)
	}
	return u, nil
}

func (f *fake) Record(ctx context.Context, e belljar.Event) error {
	f.events = append(f.events, *e.Limit)
	return ctx.Err()
}

func (f *fake) options(l belljar.Limits) Options {
	f.began = time.Now()
	return Options{
		Limits: l, Usage: f.Usage, Events: f,
		Kill: func() {
			f.kills.Add(1)
			f.killed.Store(int64(time.Since(f.began)))
		},
		Report: func(e belljar.LimitEvent) {
			if f.kills.Load() > 0 {
				panic("reported after the kill")
			}
			f.reports = append(f.reports, e)
		},
	}
}

// watchFor runs Watch for d of fake time.
func (f *fake) watchFor(t *testing.T, o Options, d time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return Watch(ctx, o)
}

func TestWatchCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{memory: func(time.Duration) int64 { return gib }, busy: 10}
		if err := f.watchFor(t, f.options(limits()), 10*time.Second); err != nil {
			t.Fatal(err)
		}
		if n := f.samples.Load(); n < 95 || n > 110 {
			t.Errorf("%d samples in ten calm seconds, want about 100", n)
		}
		if f.kills.Load() != 0 || len(f.events) != 0 {
			t.Errorf("killed %d times, events %v", f.kills.Load(), f.events)
		}
	})
}

func TestWatchMemory(t *testing.T) {
	// rate: bytes a second from the second second on.
	for _, rate := range []int64{gib / 10, gib, 4 * gib} {
		synctest.Test(t, func(t *testing.T) {
			grow := func(at time.Duration) int64 {
				if at < time.Second {
					return gib
				}
				return gib + int64(float64(rate)*(at-time.Second).Seconds())
			}
			f := &fake{memory: grow}
			l := limits()
			l.Memory = 2 * gib
			if err := f.watchFor(t, f.options(l), time.Minute); err != nil {
				t.Fatal(err)
			}
			if f.kills.Load() != 1 {
				t.Fatalf("killed %d times", f.kills.Load())
			}
			used := grow(time.Duration(f.killed.Load()))
			if over := used - l.Memory; over <= 0 || over > int64(float64(rate)*2*MinInterval.Seconds()) {
				t.Errorf("rate %d: %d bytes over the limit, want at most two short intervals' worth", rate, over)
			}
			if len(f.events) != 1 || f.events[0].Limit != Memory || !f.events[0].Ended || f.events[0].Used != used {
				t.Errorf("events %+v", f.events)
			}
			if len(f.reports) != 1 || f.reports[0] != f.events[0] {
				t.Errorf("reports %+v", f.reports)
			}
		})
	}
}

// A sandbox that waits is looked at once a second, also while its disk is counted;
// one that wakes up is caught as early as any other.
func TestWatchIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{memory: func(time.Duration) int64 { return gib }, busy: 1}
		o := f.options(limits())
		o.Disk = func() (int64, error) { return 5, nil }
		if err := f.watchFor(t, o, 20*time.Second); err != nil {
			t.Fatal(err)
		}
		if n := f.samples.Load(); n < 25 || n > 40 {
			t.Errorf("%d samples in twenty idle seconds, want about 30", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		const asleep, rate = 9*time.Second + 300*time.Millisecond, 3 * gib
		f := &fake{memory: func(at time.Duration) int64 {
			return gib + int64(max(at-asleep, 0).Seconds()*rate)
		}}
		if err := f.watchFor(t, f.options(limits()), 20*time.Second); err != nil {
			t.Fatal(err)
		}
		if len(f.events) != 1 || f.events[0].Used > 9*gib {
			t.Errorf("ended with %+v, want at most an eighth over 8 GiB", f.events)
		}
	})
}

// A leap that begins between two calm samples costs at most one long interval.
func TestWatchBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 3 * gib
		grow := func(at time.Duration) int64 {
			return max(0, int64(float64(rate)*(at-1010*time.Millisecond).Seconds()))
		}
		f := &fake{memory: grow}
		l := limits()
		l.Memory = 512 << 20
		if err := f.watchFor(t, f.options(l), time.Minute); err != nil {
			t.Fatal(err)
		}
		if used := grow(time.Duration(f.killed.Load())); used > l.Memory+l.Memory/8 {
			t.Errorf("used %d of %d", used, l.Memory)
		}
	})
}

func TestWatchTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		l := limits()
		l.Time = 1234567 * time.Microsecond
		if err := f.watchFor(t, f.options(l), time.Minute); err != nil {
			t.Fatal(err)
		}
		if at := time.Duration(f.killed.Load()); at < l.Time || at > l.Time+time.Millisecond {
			t.Errorf("killed after %v, want %v", at, l.Time)
		}
		if len(f.events) != 1 || f.events[0].Limit != Time {
			t.Errorf("events %+v", f.events)
		}
	})
}

func TestWatchProcessesOncePerCrossing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{procs: func(at time.Duration) int {
			if int(at.Seconds())%2 == 1 {
				return 100
			}
			return 97
		}}
		if err := f.watchFor(t, f.options(limits()), 4500*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if len(f.events) != 2 || f.kills.Load() != 0 || f.events[0].Ended {
			t.Errorf("events %+v, kills %d; want one event for each of two crossings", f.events, f.kills.Load())
		}
	})
}

func TestWatchDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		o := f.options(limits())
		var n int64
		o.Disk = func() (int64, error) {
			n += 8 * gib
			if n == 8*gib {
				return 0, errors.New("renamed meanwhile")
			}
			return n, nil
		}
		if err := f.watchFor(t, o, time.Minute); err != nil {
			t.Fatal(err)
		}
		if f.kills.Load() != 1 || len(f.events) != 1 || f.events[0].Limit != Disk || f.events[0].Used != 24*gib {
			t.Errorf("kills %d, events %+v", f.kills.Load(), f.events)
		}
	})
}

// A count that takes long neither delays the samples of memory nor takes a whole
// processor.
func TestWatchSlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{busy: 10}
		o := f.options(limits())
		var counts atomic.Int64
		o.Disk = func() (int64, error) {
			counts.Add(1)
			time.Sleep(2 * time.Second) // fake time
			return 0, nil
		}
		if err := f.watchFor(t, o, 100*time.Second); err != nil {
			t.Fatal(err)
		}
		if n := f.samples.Load(); n < 900 {
			t.Errorf("%d samples in 100 s", n)
		}
		if n := counts.Load(); n < 2 || n > 5 {
			t.Errorf("%d counts of two seconds in 100 s, want few", n)
		}
	})
}

func TestWatchUncountableDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		o := f.options(limits())
		o.Disk = func() (int64, error) { return 0, errors.New("hidden from us") }
		err := f.watchFor(t, o, time.Minute)
		if err == nil || f.kills.Load() != 1 {
			t.Errorf("kills %d, error %v: what cannot be counted must not run", f.kills.Load(), err)
		}
	})
}

func TestWatchUsageFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{err: errors.New("gone")}
		if err := f.watchFor(t, f.options(limits()), time.Minute); err == nil || f.kills.Load() != 1 {
			t.Errorf("kills %d, error %v: what cannot be watched must not run", f.kills.Load(), err)
		}
	})
}

func TestWatchHangingUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		o := f.options(limits())
		o.Usage = func(ctx context.Context) (belljar.Usage, error) {
			<-ctx.Done()
			return belljar.Usage{}, ctx.Err()
		}
		if err := f.watchFor(t, o, time.Hour/2); err == nil || f.kills.Load() != 1 {
			t.Errorf("kills %d, error %v: what does not answer must not run", f.kills.Load(), err)
		}
	})
}

func TestWatchEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		o := f.options(limits())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := Watch(ctx, o); err != nil || f.kills.Load() != 0 {
			t.Errorf("kills %d, error %v", f.kills.Load(), err)
		}
	})
}
