package workspace

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const childEnv = "BELLJAR_WORKSPACE_APPLY"

func TestMain(m *testing.M) {
	if v := os.Getenv(childEnv); v != "" {
		dir, shadow, _ := strings.Cut(v, "|")
		if _, err := (Project{Dir: dir, Shadow: shadow}).Apply(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// killWhen kills a running command when a file appears and says how it ended.
func killWhen(c *exec.Cmd, file string) error {
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	for {
		select {
		case err := <-ended:
			return err
		default:
		}
		if _, err := os.Lstat(file); err == nil {
			_ = c.Process.Kill()
			return <-ended
		}
		runtime.Gosched()
	}
}

// An apply that is killed leaves each file old or new, and the next one finishes
// and leaves no litter.
func TestKilledApply(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const files = 60
	before, after := strings.Repeat("old ", 5000), strings.Repeat("new ", 5000)
	killed := 0
	for round := range 10 {
		w := newWorld(t, nil)
		for i := range files {
			w.write(fmt.Sprintf("d%d/f%d", i%5, i), before)
			w.edit(fmt.Sprintf("d%d/f%d", i%5, i), after)
			w.put(fmt.Sprintf("n%d/f%d", i%5, i), after, 0o644)
		}
		c := exec.Command(exe)
		c.Env = append(os.Environ(), childEnv+"="+w.Dir+"|"+w.Shadow)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		// Killed by how far it has come, not by time, which tells nothing on another machine.
		i := rand.IntN(files / 2)
		if killWhen(c, filepath.Join(w.Dir, fmt.Sprintf("n%d/f%d", i%5, i))) != nil {
			killed++
		}
		done := 0
		for i := range files {
			b, err := os.ReadFile(filepath.Join(w.Dir, fmt.Sprintf("d%d/f%d", i%5, i)))
			switch {
			case err != nil:
				t.Errorf("round %d: %v", round, err)
			case string(b) == after:
				done++
			case string(b) != before:
				t.Errorf("round %d: a mixed file of %d bytes", round, len(b))
			}
			if b, err := os.ReadFile(filepath.Join(w.Dir, fmt.Sprintf("n%d/f%d", i%5, i))); err == nil && string(b) != after {
				t.Errorf("round %d: half of a new file, %d bytes", round, len(b))
			}
		}
		_ = w.view.Close() // nobody else uses the shadow, so that the next one may clean up
		for _, o := range w.apply() {
			if o.Status != Applied {
				t.Errorf("round %d: %s: %s %s", round, o.Change.Path, o.Status, o.Why)
			}
		}
		w.clean()
	}
	if killed == 0 {
		t.Error("no apply was killed: the test tests nothing")
	}
}
