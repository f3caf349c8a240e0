package limit

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belljar-dev/belljar"
)

const gib = 1 << 30

func limits() belljar.Limits {
	return belljar.Limits{Memory: 8 * gib, CPUs: 2, Processes: 100, Disk: 20 * gib, Files: 1024, Time: time.Hour}
}

func TestDecide(t *testing.T) {
	use := func(mem int64, procs int, disk int64, elapsed time.Duration) Sample {
		return Sample{Usage: belljar.Usage{Memory: mem, Processes: procs}, Disk: disk, Elapsed: elapsed}
	}
	memory := &belljar.LimitEvent{Limit: "memory", Max: 8 * gib, Used: 8*gib + 1, Ended: true}
	disk := &belljar.LimitEvent{Limit: "disk", Max: 20 * gib, Used: 20*gib + 1, Ended: true}
	timeUp := &belljar.LimitEvent{Limit: "time", Max: int64(time.Hour), Used: int64(time.Hour), Ended: true}
	procs := &belljar.LimitEvent{Limit: "processes", Max: 100, Used: 100}
	tests := []struct {
		name string
		s    Sample
		want Decision
	}{
		{"calm", use(1, 1, 0, 0), Decision{}},
		{"at the limits", use(8*gib, 98, 20*gib, time.Hour-1), Decision{}},
		{"memory", use(8*gib+1, 1, 0, 0), Decision{End: memory}},
		{"disk", use(1, 1, 20*gib+1, 0), Decision{End: disk}},
		{"time", use(1, 1, 0, time.Hour), Decision{End: timeUp}},
		{"processes", use(1, 100, 0, 0), Decision{Notice: procs}},
		{"memory before disk before time", use(8*gib+1, 1, 20*gib+1, time.Hour), Decision{End: memory}},
		{"disk before time", use(1, 1, 20*gib+1, time.Hour), Decision{End: disk}},
		{"one process below", use(1, 99, 0, 0), Decision{Notice: &belljar.LimitEvent{Limit: "processes", Max: 100, Used: 99}}},
		{"processes and memory", use(8*gib+1, 100, 0, 0), Decision{End: memory, Notice: procs}},
		{"unknown", use(1, -1, -1, 0), Decision{}},
	}
	for _, tt := range tests {
		if d := cmp.Diff(tt.want, Decide(limits(), tt.s)); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
	if d := cmp.Diff(Decision{}, Decide(belljar.Limits{}, use(1<<62, 1<<30, 1<<62, 1<<62))); d != "" {
		t.Errorf("no limits: %s", d)
	}
}

func TestMessage(t *testing.T) {
	tests := []struct {
		e         belljar.LimitEvent
		msg, hint string
	}{
		{
			belljar.LimitEvent{Limit: Memory, Max: 8 * gib, Used: 8*gib + gib/2, Ended: true},
			"the memory limit of 8GiB ended the run (it used 8.5GiB)",
			"raise it with --memory 16GiB or limits.memory in the policy",
		},
		{
			belljar.LimitEvent{Limit: Memory, Max: 300 << 20, Used: 301 << 20, Ended: true},
			"the memory limit of 300MiB ended the run (it used 301MiB)",
			"raise it with --memory 600MiB or limits.memory in the policy",
		},
		{
			belljar.LimitEvent{Limit: Time, Max: int64(90 * time.Second), Ended: true},
			"the time limit of 1m30s ended the run",
			"raise it with --time 3m or limits.time in the policy",
		},
		{
			belljar.LimitEvent{Limit: Time, Max: int64(24 * time.Hour), Ended: true},
			"the time limit of 24h ended the run",
			"raise it with --time 48h or limits.time in the policy",
		},
		{
			belljar.LimitEvent{Limit: Processes, Max: 4096, Used: 4096},
			"the limit of 4096 processes and threads was reached; new ones fail inside with EAGAIN",
			"raise it with --processes 8192 or limits.processes in the policy",
		},
		{
			belljar.LimitEvent{Limit: Disk, Max: 20 * gib, Used: 21 * gib, Ended: true},
			"the disk limit of 20GiB ended the run (it wrote 21GiB)",
			"raise it with --disk 40GiB or limits.disk in the policy",
		},
		{
			belljar.LimitEvent{Limit: Disk, Max: 20 * gib},
			"the disk limit of 20GiB was reached; writes fail inside with ENOSPC",
			"raise it with --disk 40GiB or limits.disk in the policy",
		},
		{
			belljar.LimitEvent{Limit: Files, Max: 1024},
			"the limit of 1024 open files per process was reached; further ones fail inside with EMFILE",
			"raise it with limits.files in the policy",
		},
		{belljar.LimitEvent{Limit: "log", Max: 5, Ended: true}, `the limit "log" of 5 ended the run`, ""},
		{belljar.LimitEvent{Limit: "\x1b[2J", Max: 5}, `the limit "\x1b[2J" of 5 was reached`, ""},
	}
	for _, tt := range tests {
		msg, hint := Message(tt.e)
		if msg != tt.msg || hint != tt.hint {
			t.Errorf("%+v:\n got %q\n     %q\nwant %q\n     %q", tt.e, msg, hint, tt.msg, tt.hint)
		}
		if strings.HasSuffix(msg, ".") || strings.HasSuffix(hint, ".") {
			t.Errorf("%q ends in a period", msg)
		}
	}
}

func TestNext(t *testing.T) {
	l := limits()
	step := func(now, before int64, between time.Duration) Step {
		return Step{Now: now, Before: before, Between: between}
	}
	tests := []struct {
		name     string
		l        belljar.Limits
		s        Step
		min, max time.Duration
	}{
		{"first", l, Step{First: true, Now: gib}, MinInterval, MinInterval},
		{"calm", l, step(gib, gib, MaxInterval), MaxInterval, MaxInterval},
		{"shrinks", l, step(gib, 2*gib, MaxInterval), MaxInterval, MaxInterval},
		{"grows slowly", l, step(gib, gib-1024, MaxInterval), MaxInterval, MaxInterval},
		{"a gigabyte in 100 ms, one left", l, step(7*gib, 6*gib, MaxInterval), 45 * time.Millisecond, 50 * time.Millisecond},
		{"a gigabyte in 10 ms, one left", l, step(7*gib, 6*gib, 10*time.Millisecond), MinInterval, MinInterval},
		{"over", l, step(9*gib, 8*gib, MaxInterval), MinInterval, MinInterval},
		{"small limit: a burst", belljar.Limits{Memory: 256 << 20}, step(64<<20, 64<<20, MaxInterval), MinInterval, 60 * time.Millisecond},
		{"waits", l, Step{Now: gib, Before: gib, Between: MaxInterval, Quiet: QuietTime}, IdleInterval, IdleInterval},
		{"waits not long enough", l, Step{Now: gib, Before: gib, Between: MaxInterval, Quiet: QuietTime - 1}, MaxInterval, MaxInterval},
		{"waits near the limit", l, Step{Now: 8*gib - 1, Before: 8*gib - 1, Between: MaxInterval, Quiet: time.Hour}, MinInterval, 251 * time.Millisecond},
		{"waits below a small limit", belljar.Limits{Memory: 256 << 20}, Step{Now: 64 << 20, Before: 64 << 20, Between: MaxInterval, Quiet: time.Hour}, MinInterval, 60 * time.Millisecond},
		{"no limit", belljar.Limits{}, step(9*gib, gib, MaxInterval), MaxInterval, MaxInterval},
		{"huge", belljar.Limits{Memory: 1 << 62}, step(1<<61, 0, time.Nanosecond), MinInterval, MinInterval},
	}
	for _, tt := range tests {
		if got := Next(tt.l, tt.s); got < tt.min || got > tt.max {
			t.Errorf("%s: %v, want %v to %v", tt.name, got, tt.min, tt.max)
		}
	}
}
