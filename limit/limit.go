// Package limit says when a sandbox uses more than its policy allows, and watches
// one while it runs.
//
//	d := limit.Decide(limits, limit.Sample{Usage: u, Elapsed: t, Disk: n})
//	err := limit.Watch(ctx, limit.Options{Limits: l, Usage: instance.Usage, Kill: …})
//
// # Model
//
// [Decide] is pure: limits and one sample in, at most one verdict out. [Watch] is
// the only loop: it samples rarely while nothing happens (once a second when the
// sandbox waits) and often while memory grows, so that the next sample comes before
// the limit can be crossed at the rate seen last. [Message] is the sentence that the user reads.
//
// # Limitations
//
// Without cgroups memory is sampled, not charged: a program may overshoot by what
// it allocates between two samples. The loop bounds that to about
// [MinInterval] at the rate of the sample before, not at a rate that begins
// inside the interval. A tier that has a hard limit sets it as well.
package limit

import (
	"fmt"
	"time"

	"github.com/belljar-dev/belljar"
)

// The names of limits in [belljar.LimitEvent].
const (
	Memory    = "memory"
	Processes = "processes"
	CPUs      = "cpus"
	Disk      = "disk"
	Files     = "files"
	Time      = "time"
	// Tokens and ModelRequests are budgets for models, whose calls are refused then.
	Tokens        = "tokens"
	ModelRequests = "model requests"
)

// A Sample is what a sandbox used at one moment.
type Sample struct {
	belljar.Usage
	Elapsed time.Duration // since it began
	Disk    int64         // bytes added below the workspace and HOME; negative when unknown
}

// A Decision says which limits a sample reached.
type Decision struct {
	// End is the limit that ends the run, nil when none does. Memory goes before
	// disk, disk before time: the first is the one that hurts the host.
	End *belljar.LimitEvent
	// Notice is a limit that fails calls inside but ends nothing, nil when none is reached.
	Notice *belljar.LimitEvent
}

// Decide compares one sample with the limits. A limit of zero is not checked
// here: a plan without limits is refused before anything starts.
func Decide(l belljar.Limits, s Sample) Decision {
	var d Decision
	switch {
	case l.Memory > 0 && s.Memory > l.Memory:
		d.End = &belljar.LimitEvent{Limit: Memory, Max: l.Memory, Used: s.Memory, Ended: true}
	case l.Disk > 0 && s.Disk > l.Disk:
		d.End = &belljar.LimitEvent{Limit: Disk, Max: l.Disk, Used: s.Disk, Ended: true}
	case l.Time > 0 && s.Elapsed >= l.Time:
		d.End = &belljar.LimitEvent{Limit: Time, Max: int64(l.Time), Used: int64(s.Elapsed), Ended: true}
	}
	// One below counts as reached: the kernel may count the one that is being made.
	if l.Processes > 0 && s.Processes+1 >= l.Processes {
		d.Notice = &belljar.LimitEvent{Limit: Processes, Max: int64(l.Processes), Used: int64(s.Processes)}
	}
	return d
}

// Message is the sentence for the user about a limit that was reached, and how to
// raise it. It names the limit, its value and, where the run was ended, what was used.
func Message(e belljar.LimitEvent) (msg, hint string) {
	value := Format(e.Limit, e.Max)
	raise := func(next string) string {
		return fmt.Sprintf("raise it with --%s %s or limits.%s in the policy", e.Limit, next, e.Limit)
	}
	switch e.Limit {
	case Memory:
		return fmt.Sprintf("the memory limit of %s ended the run (it used %s)", value, Format(Memory, e.Used)),
			raise(Format(Memory, doubled(e.Max)))
	case Time:
		return fmt.Sprintf("the time limit of %s ended the run", value), raise(Format(Time, doubled(e.Max)))
	case Disk:
		if e.Ended {
			return fmt.Sprintf("the disk limit of %s ended the run (it wrote %s)", value, Format(Disk, e.Used)),
				raise(Format(Disk, doubled(e.Max)))
		}
		return fmt.Sprintf("the disk limit of %s was reached; writes fail inside with ENOSPC", value),
			raise(Format(Disk, doubled(e.Max)))
	case Processes:
		return fmt.Sprintf("the limit of %s processes and threads was reached; new ones fail inside with EAGAIN", value),
			raise(Format(Processes, doubled(e.Max)))
	case Files:
		return fmt.Sprintf("the limit of %s open files per process was reached; further ones fail inside with EMFILE", value),
			"raise it with limits.files in the policy"
	case CPUs:
		return fmt.Sprintf("the limit of %s processors was reached; the sandbox runs slower", value),
			raise(Format(CPUs, doubled(e.Max)))
	case Tokens, ModelRequests:
		return fmt.Sprintf("a budget for models had no room for a call (%d of %d %s were spent), which was refused", e.Used, e.Max, e.Limit),
			"raise it in the policy: limits.tokens, or tokens and requests below llm"
	}
	if e.Ended {
		return fmt.Sprintf("the limit %q of %s ended the run", e.Limit, value), ""
	}
	return fmt.Sprintf("the limit %q of %s was reached", e.Limit, value), ""
}

func doubled(n int64) int64 {
	if n > 1<<61 {
		return n
	}
	return 2 * n
}

// Format writes a value of a limit the way the command line and the policy accept it.
func Format(limit string, n int64) string {
	switch limit {
	case Memory, Disk:
		return formatBytes(n)
	case Time:
		return formatTime(time.Duration(n))
	}
	return fmt.Sprint(n)
}

// formatBytes prefers a whole number of the largest unit; a figure that is not
// whole (what was used) is rounded to one decimal.
func formatBytes(n int64) string {
	units := []struct {
		size int64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}}
	for _, u := range units {
		if n >= u.size && n%u.size == 0 {
			return fmt.Sprintf("%d%s", n/u.size, u.name)
		}
		if n >= u.size {
			return fmt.Sprintf("%.1f%s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%dB", n)
}

func formatTime(d time.Duration) string {
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}
