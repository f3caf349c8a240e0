package event

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

const (
	pacedArg = "event-test-paced"
	// Ten thousand events a second, half of them of a kind that is batched.
	tick    = time.Millisecond
	perTick = 5
)

// paced records ten thousand events a second until it is killed, and tells after each
// millisecond's share how many of each kind it has recorded, and when.
func paced(state, id string) {
	r, err := Create(CreateOptions{State: state, Start: belljar.StartEvent{ID: id}, SegmentBytes: 1 << 20})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	began := time.Now()
	for n := 0; ; {
		for due := int(time.Since(began)/tick) * perTick; n < due; n++ {
			if err := r.Record(contextOf(), execEvent(n)); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			if err := r.Record(contextOf(), fileEvent("f")); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		if _, err := fmt.Println(n, time.Since(began).Milliseconds()); err != nil {
			os.Exit(0)
		}
		time.Sleep(tick)
	}
}

// A told line is what [paced] says of itself.
type told struct{ n, ms int }

// killedPaced runs [paced], kills it after so many milliseconds of its time, and returns all that it has told.
func killedPaced(t *testing.T, state, id string, after int) []told {
	t.Helper()
	cmd := exec.Command(os.Args[0], pacedArg, state, id)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	var all []told
	killed := false
	for in := bufio.NewScanner(out); in.Scan(); {
		var x told
		if _, err := fmt.Sscan(in.Text(), &x.n, &x.ms); err != nil {
			continue // the last one, torn
		}
		all = append(all, x)
		if x.ms >= after && !killed {
			if killed = true; cmd.Process.Kill() != nil {
				t.Fatal("it ended by itself")
			}
		}
	}
	return all
}

// kill -9 at ten thousand events a second: the chain verifies, what must not be lost is there, and
// what is missing of the rest is what report says.
func TestKillAtTenThousandASecond(t *testing.T) {
	rounds := 5
	if os.Getenv("BELLJAR_SOAK") != "" {
		rounds = 50
	}
	state := t.TempDir()
	for n := range rounds {
		id := fmt.Sprintf("p%03d", n)
		all := killedPaced(t, state, id, 700+rand.IntN(800))
		last := all[len(all)-1]
		rep := mustVerify(t, state, id, Killed)
		notes := strings.Join(rep.Notes, "\n")
		if !strings.Contains(notes, "those of the last 40 ms before the kill may be") || !strings.Contains(notes, "signed last at event") {
			t.Errorf("the missing tail is not said: %q", notes)
		}
		execs, files, head := 0, 0, uint64(0)
		for e, err := range Read(recordPath(state, id), Filter{}) {
			switch {
			case err != nil:
				t.Fatal(err)
			case e.Exec != nil:
				execs++
			case e.File != nil:
				files++
			}
			head = e.Seq
		}
		if execs < last.n {
			t.Errorf("%s: %d commands on record, and %d had been let go on", id, execs, last.n)
		}
		// Those that were recorded a while before are there; the machine may be busy.
		const slack = 400
		for i := len(all) - 1; i >= 0; i-- {
			if all[i].ms <= last.ms-slack {
				if files < all[i].n {
					t.Errorf("%s: %d files on record, and %d ms before the kill there were %d", id, files, last.ms-all[i].ms, all[i].n)
				}
				break
			}
		}
		a, err := parseHead(get(t, headPath(state, id)), id)
		if err != nil || a.At > head {
			t.Errorf("%s: the signed head is at %d of %d, %v", id, a.At, head, err)
		}
		segments, err := segmentsOf(recordPath(state, id))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d events a second, %d segments, %d files missing, %d events behind the signed head", id, 2000*last.n/max(1, last.ms), len(segments), last.n-files, head-a.At)
	}
	newRecord(t, state, "last").Close(belljar.EndEvent{})
	reports, err := VerifyAll(state)
	if err != nil || len(reports) != rounds+1 {
		t.Fatalf("%d reports, %v", len(reports), err)
	}
	for _, r := range reports {
		if !r.OK() {
			t.Errorf("%s: %+v", r.ID, r.Faults)
		}
	}
}
