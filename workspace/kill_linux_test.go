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
		w := strings.Split(v, "|")
		p := Project{Dir: w[1], Shadow: w[2]}
		var err error
		if w[0] == "undo" {
			_, err = p.Undo(context.Background())
		} else {
			_, err = p.Apply(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// killWhen kills a running command when a condition holds and says how it ended.
func killWhen(c *exec.Cmd, when func() bool) error {
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	for {
		select {
		case err := <-ended:
			return err
		default:
		}
		if when() {
			_ = c.Process.Kill()
			return <-ended
		}
		runtime.Gosched()
	}
}

// many is n in a long run, and few otherwise.
func many(few, n int) int {
	if os.Getenv("BELLJAR_SOAK") != "" {
		return n
	}
	return few
}

// size is that of a file, 0 when there is none.
func size(name string) int64 {
	st, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return st.Size()
}

// A killing is a project in which apply and undo are killed.
type killing struct {
	*world
	before, after map[string]string // content by name; "" is none
}

func newKilling(t *testing.T) *killing {
	k := &killing{newWorld(t, nil), map[string]string{}, map[string]string{}}
	old, now := strings.Repeat("old ", 5000), strings.Repeat("new ", 5000)
	for i := range 20 {
		edited, added, removed := fmt.Sprintf("d%d/f%d", i%5, i), fmt.Sprintf("n%d/f%d", i%5, i), fmt.Sprintf("r%d/f%d", i%5, i)
		k.write(edited, old)
		k.write(removed, old)
		k.edit(edited, now)
		k.put(added, now, 0o644)
		k.before[edited], k.after[edited] = old, now
		k.before[removed], k.after[added] = old, now
		k.before[added], k.after[removed] = "", ""
		if i%2 == 0 {
			k.remove(removed)
		}
	}
	k.write("turn", old) // a file that becomes a folder
	k.remove("turn")
	k.ok(k.view.MakeDir("turn", 0o755, true))
	k.put("turn/in", now, 0o644)
	for i := range 5 {
		k.remove(fmt.Sprintf("r%d", i))
	}
	return k
}

// start begins an apply or undo in a process of its own.
func (k *killing) start(what string) *exec.Cmd {
	k.Helper()
	exe, err := os.Executable()
	k.ok(err)
	c := exec.Command(exe)
	c.Env = append(os.Environ(), childEnv+"="+what+"|"+k.Dir+"|"+k.Shadow)
	c.Stderr = os.Stderr
	k.ok(c.Start())
	return c
}

// kill starts an apply or undo and kills it when its journal has grown so far.
func (k *killing) kill(what string, bytes int64) (killed bool) {
	k.Helper()
	c := k.start(what)
	log := filepath.Join(k.journalDir("next"), "log")
	from := int64(0)
	if what == "undo" {
		log, from = filepath.Join(k.journalDir("back"), "log"), size(filepath.Join(k.journalDir("last"), "log"))
	}
	return killWhen(c, func() bool { return size(log) > from+bytes }) != nil
}

// whole wants every file old or new.
func (k *killing) whole(round int) {
	k.Helper()
	for name, old := range k.before {
		b, err := os.ReadFile(filepath.Join(k.Dir, name))
		if got := string(b); got != old && got != k.after[name] || err != nil && old != "" && k.after[name] != "" {
			k.Errorf("round %d: %s is neither old nor new: %d bytes, %v", round, name, len(b), err)
		}
	}
}

// is wants every file as given, and no litter.
func (k *killing) is(round int, want map[string]string) {
	k.Helper()
	for name, data := range want {
		b, err := os.ReadFile(filepath.Join(k.Dir, name))
		if string(b) != data || data == "" && err == nil {
			k.Errorf("round %d: %s has %d bytes, want %d (%v)", round, name, len(b), len(data), err)
		}
	}
	if l := k.litter(); len(l) > 0 {
		k.Errorf("round %d: litter: %q", round, l)
	}
}

// lands wants all that waits to land, and nothing to be left.
func (k *killing) lands(round int) {
	k.Helper()
	for _, o := range k.apply() {
		if o.Status != Applied {
			k.Errorf("round %d: %s: %s %s", round, o.Change.Path, o.Status, o.Why)
		}
	}
	k.is(round, k.after)
	k.wantList()
}

// An apply or undo that is killed anywhere leaves each file old or new, and the next
// command takes it back as a whole.
func TestKilled(t *testing.T) {
	killed := 0
	for round, late := 0, lateFor(); round < many(20, 200) || killed < 5 && !late(); round++ {
		k := newKilling(t)
		_ = k.view.Close() // nobody else uses the shadow, so that the next one may clean up
		waits := k.list()
		what := "apply"
		if round%2 == 1 {
			what = "undo"
			for _, o := range k.apply() {
				if o.Status != Applied {
					t.Fatalf("round %d: apply %s: %s %s", round, o.Change.Path, o.Status, o.Why)
				}
			}
			k.is(round, k.after)
		}
		point := rand.Int64N(map[string]int64{"apply": 16000, "undo": 1000}[what])
		if k.kill(what, point) {
			killed++
		}
		k.whole(round)
		out, err := k.Recover(context.Background())
		if err != nil {
			t.Fatalf("round %d: recover: %v", round, err)
		}
		for _, o := range out {
			if o.Status != Undone {
				t.Errorf("round %d, %s at %d: %s: %s %s", round, what, point, o.Change.Path, o.Status, o.Why)
			}
		}
		if k.unfinished() {
			t.Errorf("round %d: a journal is left", round)
		}
		if len(out) > 0 {
			k.is(round, k.before)
			if got := k.list(); got != waits {
				t.Errorf("round %d: %s at %d: waits after recovery:\n%s\nbefore:\n%s", round, what, point, got, waits)
			}
		}
		k.lands(round)
	}
	if killed < 5 {
		t.Errorf("%d were killed: the test tests nothing", killed)
	}
}
