package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// What is asked for is shown, of one sandbox and of all.
func TestLogFilters(t *testing.T) {
	w := newWorld(t)
	w.sh("cp /etc/hostname copied 2>/dev/null || echo x >copied; echo x >.envrc", "--name", "log-one")
	w.trySh("curl -sS -m 5 https://not-allowed.example/ || true", "--name", "log-two")
	log := func(args ...string) string {
		t.Helper()
		r := w.belljar(append([]string{"log"}, args...)...)
		if r.status != 0 {
			t.Fatalf("log %q: %+v", args, r)
		}
		return r.out
	}
	held := log("log-one", "--verdict", "hold")
	mustContain(t, "what waits", held, "hold", ".envrc")
	mustLack(t, "what waits", held, "copied", "pid ")
	mustContain(t, "a file", log("log-one", "--path", "copied"), "pass", "copied")
	mustContain(t, "a program", log("log-one", "--process", "sh"), "exec ", "exit ", " after ")
	if got := log("log-one", "--until", "1h"); got != "" {
		t.Errorf("events of an hour ago: %s", got)
	}
	refused := log("--all", "--since", "7d", "--host", "not-allowed.example")
	mustContain(t, "all sandboxes", refused, "log-two  ", "refuse", "not-allowed.example")
	mustLack(t, "all sandboxes", refused, "log-one  ")
	mustContain(t, "as JSON", log("--all", "--json", "--host", "*.example", "--verdict", "deny"), `{"sandbox":"log-two","record":"`, `"kind":"refuse"`)
	started := log("--all", "--kind", "start", "--since", "10m") // others may have run meanwhile
	if strings.Count(started, "log-one: ") != 1 || strings.Count(started, "log-two: ") != 1 {
		t.Errorf("sandboxes: %s", started)
	}
	for _, args := range [][]string{{"--all", "log-one"}, {"--all", "-f"}, {"--verdict", "x"}, {"--since", "x"}, {"--path", "["}} {
		if r := w.belljar(append([]string{"log"}, args...)...); r.status != 2 {
			t.Errorf("log %q: %+v", args, r)
		}
	}
}

// The heads are signed by a key that nobody else may read, also at the end of a confined run,
// and what is cut off shows.
func TestSignedRecord(t *testing.T) {
	w := newWorld(t)
	testenv.Need(t, "user") // root's state is shared with other tests, and is not to be damaged
	w.sh("true", "--name", "signed")
	verify := func() result { return w.belljar("log", "verify", "--all", "--json") }
	if r := verify(); r.status != 0 || strings.Count(r.out, `"signer": "SHA256:`) != 1 || strings.Contains(r.out, `"notes"`) {
		t.Fatalf("verify: %+v", r)
	}
	state := filepath.Join(w.home, ".local/state/belljar")
	fi, err := os.Stat(filepath.Join(state, "record.key"))
	if err != nil || fi.Mode() != 0o600 {
		t.Errorf("the key: %v, %v", fi, err)
	}
	// The newest record and all that tells of it in the state.
	w.sh("true", "--name", "gone")
	dirs, err := filepath.Glob(filepath.Join(state, "records/*"))
	if err != nil || len(dirs) != 2 {
		t.Fatalf("%q, %v", dirs, err)
	}
	anchors := filepath.Join(state, "anchors")
	b, err := os.ReadFile(anchors)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(b), "\n")
	if err := os.WriteFile(anchors, []byte(strings.Join(lines[:2], "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dirs[1]); err != nil {
		t.Fatal(err)
	}
	if r := verify(); r.status != 1 || !strings.Contains(r.out, "lines at the end are missing") {
		t.Errorf("the newest record is gone, and verify says: %+v", r)
	}
}

// Evidence holds on its own, is bound to key and record, and says who allowed what and what waits.
func TestEvidence(t *testing.T) {
	w := newWorld(t)
	w.sh("echo x >.envrc; echo y >plain", "--name", "proof")
	made := w.belljar("evidence", "proof")
	mustContain(t, "evidence", made.errout, "signed with SHA256:")
	if made.status != 0 {
		t.Fatalf("evidence: %+v", made)
	}
	key := made.errout[strings.Index(made.errout, "SHA256:"):]
	key = key[:len("SHA256:")+64]
	// On another machine: another home, no state, nothing of the sandbox.
	other := newWorld(t)
	other.write("e.json", made.out)
	other.write("events.jsonl", w.belljar("log", "--json", "proof").out)
	r := other.belljar("evidence", "verify", "e.json", "--key", key, "--record", "events.jsonl")
	if r.status != 0 {
		t.Fatalf("evidence verify: %+v", r)
	}
	mustContain(t, "what is proven", r.out, "Proven:\n", "Not proven:\n", "the key that you named", "byte for byte", "1 change\n", "proof (")
	mustContain(t, "as JSON", other.belljar("evidence", "verify", "e.json", "--json").out, `"path": ".envrc"`, `"_type": "https://in-toto.io/Statement/v1"`)
	mustContain(t, "without a key", other.belljar("evidence", "verify", "e.json").out, "whose key it is")

	events := other.read("events.jsonl")
	other.write("events.jsonl", events+"{}\n")
	grown := other.belljar("evidence", "verify", "e.json", "--record", "events.jsonl").out
	mustContain(t, "a record that has grown", grown, "begins with the", "the 3 later bytes of that record")
	mustLack(t, "a record that has grown", grown, "byte for byte")
	other.write("events.jsonl", events)

	other.write("e.json", strings.Replace(made.out, `"sig":"`, `"sig":"A`, 1))
	other.write("events.jsonl", strings.Replace(other.read("events.jsonl"), "plain", "plane", 1))
	for name, args := range map[string][]string{
		"changed":        {"evidence", "verify", "e.json"},
		"no file":        {"evidence", "verify", "missing.json"},
		"another record": {"evidence", "verify", "-", "--record", "events.jsonl"},
		"another key":    {"evidence", "verify", "-", "--key", strings.Replace(key, key[10:12], "zz", 1)},
	} {
		if r := other.belljarIn(made.out, args...); r.status == 0 || r.out != "" || !strings.Contains(r.errout, "belljar: error: ") {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// Neither what a variable held nor what the agent holds for a credential is on record.
func TestRecordHidesSecrets(t *testing.T) {
	w := newWorld(t)
	w.sh(`sh -c "true $MY_TOKEN"; sh -c "true $OTHER_KEY"; sh -c 'true Bearer 0123456789abcdef0123'`,
		"--name", "secrets", "--env", "MY_TOKEN="+envSecret, "--env", "OTHER_KEY=another-secret-value")
	out := w.belljar("log", "--json", "secrets").out
	mustLack(t, "the record", out, envSecret, "another-secret-value", "0123456789abcdef0123")
	if !strings.Contains(out, `"kind":"exec"`) {
		t.Errorf("nothing ran: %s", out)
	}
	if ownKernel() { // the others see what belljar starts
		mustContain(t, "the record", out, "true [MY_TOKEN]", "true [OTHER_KEY]", "Bearer [redacted: 20 bytes]")
	}
}

// A record goes on in further files while the supervisor is confined, and is one to whoever reads it.
func TestRecordSegments(t *testing.T) {
	testenv.Need(t, "user") // root has one state for all, with records of others
	w := newWorld(t)
	w.write("belljar.yaml", "version: 1\nlimits: {log: 8MiB}\n")
	w.sh("i=0; while [ $i -lt 10000 ]; do : >f$i; i=$((i+1)); done", "--name", "long") // files are on record in every tier
	dirs, err := filepath.Glob(filepath.Join(w.home, ".local/state/belljar/records/*/events.*.jsonl"))
	if err != nil || len(dirs) < 2 {
		t.Fatalf("%q, %v", dirs, err)
	}
	r := w.belljar("log", "verify", "long")
	if r.status != 0 {
		t.Fatalf("verify: %+v", r)
	}
	all := w.belljar("log", "--json", "--all", "--kind", "segment").out
	if n := strings.Count(all, "\n"); n != len(dirs) {
		t.Errorf("%d segments begin in %d files", n, len(dirs))
	}
	made := w.belljar("evidence", "long")
	w.write("e.json", made.out)
	w.write("joined.jsonl", w.belljar("log", "--json", "long").out)
	for _, file := range []string{"joined.jsonl", filepath.Join(filepath.Dir(dirs[0]), "events.jsonl")} {
		r := w.belljar("evidence", "verify", "e.json", "--record", file)
		mustContain(t, "evidence of "+file, r.out, "byte for byte")
	}
	if err := os.Remove(dirs[0]); err != nil {
		t.Fatal(err)
	}
	r = w.belljar("log", "verify", "long")
	mustContain(t, "a segment is missing", r.out, "segment 1 is not there")
	if r.status != 1 {
		t.Errorf("verify: %+v", r)
	}
}

// TestPruneRecords: records are removed by age, but for those that somebody needs; what is
// removed is not missing.
func TestPruneRecords(t *testing.T) {
	testenv.Need(t, "user") // root has one state for all, with records of others
	w := newWorld(t)
	w.sh("true", "--name", "one")
	w.sh("true", "--name", "two")
	w.detach("runs", "--", "sleep", "1000")
	w.sh("true", "--name", "kept", "--keep")
	id := func(name string) string {
		var start struct{ Start struct{ ID string } }
		first, _, _ := strings.Cut(w.belljar("log", "--json", name).out, "\n")
		if err := json.Unmarshal([]byte(first), &start); err != nil || start.Start.ID == "" {
			t.Fatalf("%v: %s", err, first)
		}
		return start.Start.ID
	}
	one, runs, kept := id("one"), id("runs"), id("kept")
	var list []struct {
		Kind, Name string
		Bytes      int64
	}
	if err := json.Unmarshal([]byte(w.belljar("prune", "--json").out), &list); err != nil {
		t.Fatal(err)
	}
	records := 0
	for _, k := range list {
		if k.Kind == "records" && k.Bytes > 0 {
			records++
		}
	}
	if records != 4 {
		t.Errorf("%+v", list)
	}
	mustContain(t, "what is kept", w.belljar("prune").out, "records")
	for _, args := range [][]string{{"records"}, {"--older", "0s"}, {"records", "--older", "soon"}, {"records", "--older", ""}} {
		if r := w.belljar(append([]string{"prune"}, args...)...); r.status != 2 {
			t.Errorf("%q: %+v", args, r)
		}
	}
	if r := w.belljar("prune", "records", "--older", "1d"); r.status != 0 || !strings.Contains(r.errout, "0 removed") {
		t.Errorf("%+v", r)
	}
	r := w.belljar("prune", "records", "--older", "0s")
	mustContain(t, "what is removed", r.errout, "2 removed", "record "+runs+" stays: its sandbox runs", "record "+kept+" stays: its sandbox is kept: belljar rm kept")
	if r.status != 0 {
		t.Errorf("%+v", r)
	}
	if _, err := os.Lstat(filepath.Join(w.state(), "records", one)); !os.IsNotExist(err) {
		t.Errorf("%s is there: %v", one, err)
	}
	w.belljar("stop", "runs")
	r = w.belljar("log", "verify", one)
	mustContain(t, "what is said of one", r.out+r.errout, "removed by belljar")
	if r.status != 0 {
		t.Errorf("%+v", r)
	}
	if r = w.belljar("log", "verify", "--all"); r.status != 0 {
		t.Errorf("%+v", r)
	}
	w.sh("true", "--name", "three")
	if r = w.belljar("log", "verify", "three"); r.status != 0 {
		t.Errorf("%+v", r)
	}
}

// TestBoundRecords: a run removes the oldest records where all together are larger than the user's
// policy has it, and none that is needed.
func TestBoundRecords(t *testing.T) {
	testenv.Need(t, "user") // root has one state for all, with records of others
	w := newWorld(t)
	w.sh("true", "--name", "kept", "--keep")
	w.detach("runs", "--", "sleep", "1000")
	w.sh("i=0; while [ $i -lt 6000 ]; do : > file-$i; i=$((i+1)); done; rm file-*", "--name", "large")
	w.write(filepath.Join(w.home, ".config/belljar/policy.yaml"), "version: 1\nrecords: 1GiB\n")
	if r := w.trySh("true", "--name", "roomy"); r.status != 0 || strings.Contains(r.errout, "removed") {
		t.Errorf("%+v", r)
	}
	w.write(filepath.Join(w.home, ".config/belljar/policy.yaml"), "version: 1\nrecords: 1MiB\n")
	r := w.trySh("true", "--name", "tight")
	mustContain(t, "what the run says", r.errout, "1 old record removed", "all together may have 1")
	list := w.belljar("log", "--list").out
	mustContain(t, "what is left", list, "kept", "runs", "roomy", "tight")
	mustLack(t, "what is left", list, "large")
	w.belljar("stop", "runs")
	if r = w.belljar("log", "verify", "--all"); r.status != 0 {
		t.Errorf("%+v", r)
	}
	// A project has no say in it.
	w.write("belljar.yaml", "version: 1\nrecords: 1MiB\n")
	if r = w.trySh("true"); r.status == 0 || !strings.Contains(r.errout, "a project's file cannot say how much is kept") {
		t.Errorf("%+v", r)
	}
}
