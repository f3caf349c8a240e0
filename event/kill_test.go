package event

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

const writerArg = "event-test-writer"

// TestMain lets the test binary be the process that is killed.
func TestMain(m *testing.M) {
	Reexec(os.Args)
	if how := os.Getenv(holderEnv); how != "" {
		holdRecord(how)
	}
	if len(os.Args) == 4 && os.Args[1] == writerArg {
		writer(os.Args[2], os.Args[3])
	}
	if len(os.Args) == 4 && os.Args[1] == pacedArg {
		paced(os.Args[2], os.Args[3])
	}
	os.Exit(m.Run())
}

// writer records until it is killed and tells on standard output the number of
// every event that is on record.
func writer(state, id string) {
	r, err := Create(CreateOptions{State: state, Start: belljar.StartEvent{ID: id}, SegmentBytes: 256 << 10})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	done := make(chan error)
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				e := execEvent(i*4 + w)
				// Now and then a line of many pages, in the midst of which a kill can fall.
				if i%5 == w {
					e.Exec.Argv = append(e.Exec.Argv, strings.Repeat("x", 100<<10))
				}
				if err := r.Record(contextOf(), e); err != nil {
					done <- err
				}
				if err := r.Record(contextOf(), fileEvent("f")); err != nil {
					done <- err
				}
				if _, err := os.Stdout.WriteString(strconv.Itoa(e.Exec.PID) + "\n"); err != nil {
					os.Exit(0)
				}
			}
		}()
	}
	fmt.Fprintln(os.Stderr, <-done)
	os.Exit(1)
}

func TestKill(t *testing.T) {
	state := t.TempDir()
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	torn := 0
	for n := range rounds {
		id := fmt.Sprintf("k%03d", n)
		acked := killedWriter(t, state, id, 1+rand.IntN(400))
		rep := mustVerify(t, state, id, Killed)
		if strings.Contains(strings.Join(rep.Notes, "\n"), "torn") {
			torn++
		}
		on := make(map[int]bool)
		for _, e := range readAll(t, recordPath(state, id), Filter{}) {
			if e.Exec != nil {
				on[e.Exec.PID] = true
			}
		}
		for _, pid := range acked {
			if !on[pid] {
				t.Errorf("round %d: event %d was acknowledged and is not on record", n, pid)
			}
		}
	}
	newRecord(t, state, "last").Close(belljar.EndEvent{})
	all, err := VerifyAll(state)
	if err != nil || len(all) != rounds+1 {
		t.Fatalf("%d reports, %v", len(all), err)
	}
	for _, r := range all {
		if !r.OK() {
			t.Errorf("%s: %+v", r.ID, r.Faults)
		}
	}
	t.Logf("%d of %d records had a torn line", torn, rounds)
}

// killedWriter runs a writer, kills it after it has told of n events, and returns
// all that it has told.
func killedWriter(t *testing.T, state, id string, n int) []int {
	t.Helper()
	cmd := exec.Command(os.Args[0], writerArg, state, id)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	var acked []int
	in := bufio.NewReader(out)
	for {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			return acked
		}
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		if acked = append(acked, pid); len(acked) == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
