package event

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event/internal/sign"
)

// rewrite makes the anchors anew from changed bodies, so that their chain is right; with a key
// the lines are signed by it.
func rewrite(t *testing.T, state string, key *Key, change func(string) string) {
	t.Helper()
	ap := filepath.Join(state, anchorsFile)
	var out []byte
	prev := genesis("anchors", "")
	for i, line := range bytes.Split(bytes.TrimSuffix(get(t, ap), []byte("\n")), []byte("\n")) {
		l, err := parseLink(line)
		if err != nil {
			t.Fatal(err)
		}
		body := []byte(change(string(l.body)))
		if key != nil {
			cut := bytes.Index(body, []byte(`,"key":"`))
			body = append(body[:cut:cut], `,"key":"`+key.text()+`"`...)
			body = appendSignature(key, uint64(i), prev, body)
		}
		out, prev = appendLine(out, uint64(i), prev, body)
	}
	put(t, ap, out)
}

func cutSignature(s string) string { return s[:strings.Index(s, `,"key":"`)] }

// lines removes the last n lines of the anchors.
func cutAnchors(t *testing.T, state string, n int) {
	t.Helper()
	ap := filepath.Join(state, anchorsFile)
	l := bytes.SplitAfter(get(t, ap), []byte("\n"))
	put(t, ap, bytes.Join(l[:len(l)-1-n], nil))
}

// Whoever has everything but the key, or what lies outside of the state, is found out.
func TestTamperingIsNamedBySignaturesAndWitnesses(t *testing.T) {
	same := func(s string) string { return s }
	for name, tt := range map[string]struct {
		attack func(t *testing.T, state string)
		kind   FaultKind
	}{
		"the end of the anchors and the last record deleted": {func(t *testing.T, state string) {
			if err := os.RemoveAll(filepath.Dir(recordPath(state, "c"))); err != nil {
				t.Fatal(err)
			}
			cutAnchors(t, state, 2)
		}, FaultAnchors},
		"the last anchor deleted": {func(t *testing.T, state string) { cutAnchors(t, state, 1) }, FaultAnchors},
		"all of it deleted but the record": {func(t *testing.T, state string) {
			if err := os.Remove(filepath.Join(state, anchorsFile)); err != nil {
				t.Fatal(err)
			}
		}, FaultAnchors},
		"the anchors rewritten": {func(t *testing.T, state string) {
			rewrite(t, state, nil, func(s string) string { return strings.Replace(s, `"id":"a"`, `"id":"x"`, 1) })
		}, FaultSigned},
		"signatures removed": {func(t *testing.T, state string) { rewrite(t, state, nil, cutSignature) }, FaultSigned},
		"the last signature removed": {func(t *testing.T, state string) {
			n := 0
			rewrite(t, state, nil, func(s string) string {
				if n++; n == 6 {
					return cutSignature(s)
				}
				return s
			})
		}, FaultSigned},
		"signed with another key": {func(t *testing.T, state string) {
			k, err := newKey()
			if err != nil {
				t.Fatal(err)
			}
			rewrite(t, state, k, same)
		}, FaultSigned},
		"the key and the signatures of another": {func(t *testing.T, state string) {
			if err := os.Remove(filepath.Join(state, sign.File)); err != nil {
				t.Fatal(err)
			}
			k, err := OpenKey(state)
			if err != nil {
				t.Fatal(err)
			}
			rewrite(t, state, k, same)
		}, FaultSigned},
		"the key deleted": {func(t *testing.T, state string) {
			if err := os.Remove(filepath.Join(state, sign.File)); err != nil {
				t.Fatal(err)
			}
		}, FaultSigned},
		"the key readable for others": {func(t *testing.T, state string) {
			if err := os.Chmod(filepath.Join(state, sign.File), 0o640); err != nil {
				t.Fatal(err)
			}
		}, FaultSigned},
		"the signed head deleted": {func(t *testing.T, state string) {
			if err := os.Remove(headPath(state, "b")); err != nil {
				t.Fatal(err)
			}
		}, FaultSigned},
		"the signed head of another": {func(t *testing.T, state string) {
			put(t, headPath(state, "b"), get(t, headPath(state, "a")))
		}, FaultSigned},
	} {
		t.Run(name, func(t *testing.T) {
			state, runtime := t.TempDir(), t.TempDir()
			seen := WitnessFile(runtime)
			for _, id := range []string{"a", "b", "c"} {
				r := newRecord(t, state, id, func(o *CreateOptions) { o.Witnesses = []Witness{seen} })
				if err := r.Record(t.Context(), execEvent(1)); err != nil {
					t.Fatal(err)
				}
				if err := r.Close(belljar.EndEvent{}); err != nil {
					t.Fatal(err)
				}
			}
			if r, err := Verify(state, "b", seen); err != nil || !r.OK() || r.Signer == "" || len(r.Notes) > 0 {
				t.Fatalf("before: %+v, %v", r, err)
			}
			tt.attack(t, state)
			r, err := Verify(state, "b", seen)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(r.Faults, func(f Fault) bool { return f.Kind == tt.kind }) {
				t.Errorf("no fault %q: %+v, notes %q", tt.kind, r.Faults, r.Notes)
			}
		})
	}
}

// A cut of what was written before the last signed head shows, although the process was killed
// and nothing was anchored since.
func TestKilledRecordIsCut(t *testing.T) {
	state := t.TempDir()
	r := newRecord(t, state, "dead")
	for i := range 5 {
		if err := r.Record(t.Context(), execEvent(i)); err != nil {
			t.Fatal(err)
		}
	}
	head := func() anchor {
		a, err := parseHead(get(t, headPath(state, "dead")), "dead")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	tick, late := time.NewTicker(10*time.Millisecond), time.After(5*time.Minute)
	defer tick.Stop()
	for head().At < 5 { // it is signed soon, although nothing comes
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("the head is at %d", head().At)
		}
	}
	abandon(r)
	mustVerify(t, state, "dead", Killed)
	good := get(t, r.Path())
	lines := bytes.SplitAfter(good, []byte("\n"))
	put(t, r.Path(), bytes.Join(lines[:4], nil))
	if rep, err := Verify(state, "dead"); err != nil || !hasFault(rep, FaultCut, 0) {
		t.Errorf("cut: %+v, %v", rep, err)
	}
	b, _ := forge(t, "dead", good, func(s string) string { return strings.ReplaceAll(s, "git", "ls") })
	put(t, r.Path(), b)
	if rep, err := Verify(state, "dead"); err != nil || !hasFault(rep, FaultSigned, 0) {
		t.Errorf("rewritten: %+v, %v", rep, err)
	}
	put(t, r.Path(), good)
	mustVerify(t, state, "dead", Killed)
}

func TestKeyIsMadeOnceAndPrivate(t *testing.T) {
	state := t.TempDir()
	var texts []string
	for range 3 {
		k, err := OpenKey(state)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, k.text())
	}
	if texts[0] != texts[1] || texts[1] != texts[2] {
		t.Errorf("another key each time: %q", texts)
	}
	fi, err := os.Stat(filepath.Join(state, sign.File))
	if err != nil || fi.Mode() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(state, ".key-*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	for _, mode := range []os.FileMode{0o604, 0o640, 0o660} {
		if err := os.Chmod(filepath.Join(state, sign.File), mode); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenKey(state); err == nil {
			t.Errorf("a key of mode %o is used", mode)
		}
	}
	if _, err := Create(CreateOptions{State: state, Start: belljar.StartEvent{ID: "x"}}); err == nil {
		t.Error("a record is made without a key that can be used")
	}
}

// After the machine was started anew an old mark says nothing.
func TestWitnessOfAnEarlierBoot(t *testing.T) {
	w := witness{filepath.Join(t.TempDir(), witnessFile), "one"}
	w.Keep(Mark{7, genesis("x", "")})
	if m, ok := w.Last(); !ok || m.Seq != 7 {
		t.Errorf("%+v, %v", m, ok)
	}
	w.Keep(Mark{6, genesis("y", "")}) // somebody cut the anchors, and goes on
	if m, _ := w.Last(); m.Seq != 7 {
		t.Errorf("it went back to %+v", m)
	}
	w.Keep(Mark{8, genesis("y", "")})
	if m, _ := w.Last(); m.Seq != 8 {
		t.Errorf("it does not go on: %+v", m)
	}
	if m, ok := (witness{w.path, "two"}).Last(); ok {
		t.Errorf("it tells %+v", m)
	}
}

func FuzzHead(f *testing.F) {
	state := f.TempDir()
	newRecord(f, state, "h")
	b, err := os.ReadFile(headPath(state, "h"))
	if err != nil {
		f.Fatal(err)
	}
	ours, err := parseHead(b, "h")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"seq":0,"prev":"`))
	f.Fuzz(func(t *testing.T, in []byte) {
		_, _ = parseWitness(in)
		a, err := parseHead(in, "h")
		// The fuzzer's processes make a key each, and get the first inputs of another one.
		if err == nil && string(a.Key) == string(ours.Key) && (a.ID != "h" || strings.TrimRight(string(in), " \n") != strings.TrimRight(string(b), " \n")) {
			t.Errorf("a head that nobody signed: %q", in)
		}
	})
}
