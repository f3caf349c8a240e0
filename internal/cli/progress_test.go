package cli

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// TestProgress: what is done in a second is not told of, and a long work not too often.
func TestProgress(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	a := &App{Err: w}
	if a.progress() != nil {
		t.Error("progress is told where there is no terminal")
	}
	at := time.Unix(1000, 0)
	tell := a.paced(func() time.Time { return at })
	for i := range 101 {
		tell(i, 100)
		at = at.Add(100 * time.Millisecond)
	}
	_ = w.Close()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	want := "belljar: 10 of 100 done\nbelljar: 30 of 100 done\n"
	if !strings.HasPrefix(string(out), want) || strings.Count(string(out), "\n") != 5 {
		t.Errorf("told:\n%s", out)
	}
}
