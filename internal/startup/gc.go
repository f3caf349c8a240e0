package startup

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// small is how much may live before garbage is collected more often.
	small = 8 << 20
	// often is how much garbage may gather then, of what lives: with a thousand
	// connections open all of it would otherwise be twice as much.
	often = 33
)

// percentFor is how much garbage may gather, of what the heap and the stacks hold.
func percentFor(live uint64) int {
	if live > small {
		return often
	}
	return percent
}

// follow sets after each collection how much garbage may gather until the next.
func follow(now int) {
	// Of a size that the collector frees by itself, without pointers.
	runtime.AddCleanup(new([64]byte), func(now int) {
		if next := percentFor(living()); next != now {
			debug.SetGCPercent(next) // stops the world: only where it changes
			now = next
		}
		follow(now)
	}, now)
}

// living is what the last collection found alive.
func living() uint64 {
	return sample("/gc/heap/live:bytes") + sample("/gc/scan/stack:bytes")
}

// sample reads one of the runtime's figures, 0 where it has none of that name.
func sample(name string) uint64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return s[0].Value.Uint64()
}
