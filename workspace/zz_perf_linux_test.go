package workspace

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func TestPerfRemoval(t *testing.T) {
	files := map[string]string{}
	for i := range 5000 {
		files[fmt.Sprintf("nm/p%d/f%d.js", i%200, i)] = "x = 1;\n"
	}
	w := newWorld(t, files)
	w.remove("nm")
	for i := range 2000 {
		w.put(fmt.Sprintf("new/p%d/f%d", i%50, i), "y", 0o644)
	}
	at := time.Now()
	lap := func(s string) { t.Log(s, time.Since(at)); at = time.Now() }
	cs, _ := w.Pending()
	lap("pending")
	w.Assess(cs)
	lap("assess")
	w.Apply(context.Background(), "nm")
	lap("apply removal of 5000")
	w.Apply(context.Background())
	lap("apply 2000 new")
	w.Undo(context.Background())
	lap("undo 2000 new")
}
