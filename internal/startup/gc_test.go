package startup

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// TestFollow: where much lives less garbage may gather, and where it is gone as much as before.
func TestFollow(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(percent))
	follow(percent)
	live := make([]byte, 4*small)
	until(t, often)
	runtime.KeepAlive(live)
	live = nil
	until(t, percent)
}

// until collects until the collector is set so.
func until(t *testing.T, want int) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); sample("/gc/gogc:percent") != uint64(want); runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatalf("it is %d, want %d", sample("/gc/gogc:percent"), want)
		}
	}
}
