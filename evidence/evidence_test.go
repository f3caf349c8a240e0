package evidence

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
)

// The example of the specification.
func TestPAE(t *testing.T) {
	if got := string(PAE("http://example.com/HelloWorld", []byte("hello world"))); got != "DSSEv1 29 http://example.com/HelloWorld 11 hello world" {
		t.Errorf("%q", got)
	}
}

// state makes a state folder with a record, and what is said about it.
func state(t testing.TB) (dir string, p Predicate, key *event.Key) {
	t.Helper()
	dir = t.TempDir()
	r, err := event.Create(event.CreateOptions{State: dir, Start: belljar.StartEvent{ID: "one", Name: "mine", Argv: []string{"true"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(belljar.EndEvent{}); err != nil {
		t.Fatal(err)
	}
	rep, err := event.Verify(dir, "one")
	if err != nil || !rep.OK() {
		t.Fatalf("%+v, %v", rep, err)
	}
	b, err := os.ReadFile(rep.Path)
	if err != nil {
		t.Fatal(err)
	}
	if key, err = event.OpenKey(dir); err != nil {
		t.Fatal(err)
	}
	p = Predicate{
		Made: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), Waits: json.RawMessage("null"),
		Record: Record{
			ID: "one", Name: "mine", SHA256: sha(b), Bytes: rep.Bytes, Head: rep.Head, Events: rep.Events, Status: rep.Status, Signer: rep.Signer, Faults: rep.Faults,
		},
	}
	p.Tell(rep.Path, rep.Events)
	return dir, p, key
}

func signed(t testing.TB, key *event.Key, p Predicate) []byte {
	t.Helper()
	b, err := Sign(key, p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEvidenceHolds(t *testing.T) {
	dir, p, key := state(t)
	b := signed(t, key, p)
	print := event.Fingerprint(key.Public())
	for _, k := range []string{"", print, base64.StdEncoding.EncodeToString(key.Public())} {
		s, err := Verify(b, Options{Key: k})
		if err != nil {
			t.Fatal(err)
		}
		p.Signer = s.Predicate.Signer
		if diff := cmp.Diff(p, s.Predicate); diff != "" || s.Predicate.Signer.Fingerprint != print || print != p.Record.Signer {
			t.Errorf("another statement: %s", diff)
		}
		if c, err := CompareRecord(s, filepath.Join(dir, "records/one/events.jsonl")); err != nil || c != (Comparison{}) {
			t.Error(c, err)
		}
	}
	// Any tool that knows DSSE and ed25519 can check it.
	var e Envelope
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	payload, _ := base64.StdEncoding.DecodeString(e.Payload)
	sig, _ := base64.StdEncoding.DecodeString(e.Signatures[0].Sig)
	if !ed25519.Verify(key.Public(), PAE(e.PayloadType, payload), sig) {
		t.Error("the signature is not that of DSSE")
	}
}

// Every byte counts, and so does whose key it is.
func TestChangedEvidence(t *testing.T) {
	_, p, key := state(t)
	b := signed(t, key, p)
	for i := range bytes.TrimSpace(b) {
		for _, mask := range []byte{1, 0x20, 0x80} { // 0x20: a letter of the other case
			c := bytes.Clone(b)
			c[i] ^= mask
			if s, err := Verify(c, Options{}); err == nil && !sameStatement(t, b, s) {
				t.Fatalf("byte %d ^ %#x is accepted", i, mask)
			}
		}
	}
	_, _, other := state(t)
	if _, err := Verify(b, Options{Key: event.Fingerprint(other.Public())}); !errors.Is(err, ErrKey) {
		t.Errorf("another key: %v", err)
	}
	var e Envelope
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	payload, _ := base64.StdEncoding.DecodeString(e.Payload)
	for name, change := range map[string]func(payload string, e *Envelope) string{
		"another key in it":      func(s string, _ *Envelope) string { return strings.Replace(s, p64(key), p64(other), 1) },
		"another subject":        func(s string, _ *Envelope) string { return strings.Replace(s, p.Record.SHA256, sha(nil), 1) },
		"another kind":           func(s string, _ *Envelope) string { return strings.Replace(s, PredicateType, "https://example.com", 1) },
		"a key too many":         func(s string, _ *Envelope) string { return strings.Replace(s, `{"_type"`, `{"x":1,"_type"`, 1) },
		"something behind it":    func(s string, _ *Envelope) string { return s + "{}" },
		"another name for a key": func(s string, e *Envelope) string { e.Signatures[0].KeyID = "x"; return s },
		"another payload type":   func(s string, e *Envelope) string { e.PayloadType = "text/plain"; return s },
		"two signatures":         func(s string, e *Envelope) string { e.Signatures = append(e.Signatures, e.Signatures[0]); return s },
		"none":                   func(s string, e *Envelope) string { e.Signatures = nil; return s },
	} {
		c := e
		c.Signatures = append([]Signature{}, e.Signatures...)
		// Signed anew by the key's owner, so that nothing but what is said is wrong.
		body := []byte(change(string(payload), &c))
		c.Payload = base64.StdEncoding.EncodeToString(body)
		for i := range c.Signatures {
			c.Signatures[i].Sig = base64.StdEncoding.EncodeToString(key.Sign(PAE(c.PayloadType, body)))
		}
		in, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(in, Options{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAnotherRecord(t *testing.T) {
	dir, p, key := state(t)
	path := filepath.Join(dir, "records/one/events.jsonl")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fault := func(p *Predicate) { p.Record.Faults = []event.Fault{{What: "x"}} }
	torn := bytes.Replace(good, []byte("true"), []byte("fals"), 1)
	for name, tt := range map[string]struct {
		file []byte
		p    func(*Predicate)
		want string // "": an error
	}{
		"as it was":           {good, func(*Predicate) {}, "0 true"},
		"grown":               {append(bytes.Clone(good), "x\n"...), func(*Predicate) {}, "2 true"},
		"cut":                 {good[:len(good)-1], func(*Predicate) {}, ""},
		"changed":             {torn, func(*Predicate) {}, ""},
		"another head":        {good, func(p *Predicate) { p.Record.Head = "x" }, ""},
		"another id":          {good, func(p *Predicate) { p.Record.ID = "two" }, ""},
		"more events":         {good, func(p *Predicate) { p.Record.Events++ }, ""},
		"impossibly large":    {good, func(p *Predicate) { p.Record.Bytes = 1 << 60 }, ""},
		"negative":            {good, func(p *Predicate) { p.Record.Bytes = -1 }, ""},
		"nothing":             {good, func(p *Predicate) { p.Record.Bytes, p.Record.SHA256 = 0, sha(nil); fault(p) }, ""},
		"other faults":        {good, fault, "0 true"},
		"faults, and changed": {torn, func(p *Predicate) { fault(p); p.Record.SHA256 = sha(torn); p.Run.Argv = []string{"fals"} }, "0 false"},
		"changed, no faults":  {torn, func(p *Predicate) { p.Record.SHA256 = sha(torn); p.Run.Argv = []string{"fals"} }, ""},
		"faults, other head":  {good, func(p *Predicate) { fault(p); p.Record.Head = "x" }, ""},
		"another command":     {good, func(p *Predicate) { p.Run.Argv = []string{"false"} }, ""},
		"another project":     {good, func(p *Predicate) { p.Run.Workspace = "/x" }, ""},
		"another tier":        {good, func(p *Predicate) { p.Run.Tier = "x" }, ""},
		"another policy":      {good, func(p *Predicate) { p.Run.Policy = "x" }, ""},
		"another plan":        {good, func(p *Predicate) { p.Run.Plan = "x" }, ""},
		"an approval":         {good, func(p *Predicate) { p.Approvals = []Approval{{Kind: belljar.EventAsk}} }, ""},
		"another summary":     {good, func(p *Predicate) { p.Summary.Events++ }, ""},
	} {
		q := p
		tt.p(&q)
		file := filepath.Join(t.TempDir(), "events.jsonl")
		if err := os.WriteFile(file, tt.file, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Verify(signed(t, key, q), Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		c, err := CompareRecord(s, file)
		if err == nil {
			got = fmt.Sprint(c.Later, c.Chain == nil)
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q: %v", name, got, tt.want, err)
		}
	}
}

// What is inside cannot make evidence impossible by asking much, or by how its programs are called.
func TestHostileNamesLeaveRoom(t *testing.T) {
	dir := t.TempDir()
	r, err := event.Create(event.CreateOptions{State: dir, Start: belljar.StartEvent{ID: "one", Name: "mine", Argv: []string{"true"}}})
	if err != nil {
		t.Fatal(err)
	}
	evil := strings.Repeat("\x01", MaxName-8)
	for i := range MaxAsked + 5 {
		name := fmt.Sprintf("%04d%s", i, evil)
		for _, e := range []belljar.Event{
			{Kind: belljar.EventAsk, Ask: &belljar.AskEvent{Host: name, Method: name, Path: name, Command: name, Note: name}},
			{Kind: belljar.EventExec, Exec: &belljar.ExecEvent{PID: i, Path: "/" + name, Argv: []string{name}}},
			{Kind: belljar.EventExec, Exec: &belljar.ExecEvent{PID: i, Path: "/" + name, Argv: []string{name}, Refused: name}},
			{Kind: belljar.EventRefuse, Net: &belljar.NetEvent{Proto: "tls", Host: name, Reason: name, Fix: name}},
		} {
			if err := r.Record(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := r.Close(belljar.EndEvent{}); err != nil {
		t.Fatal(err)
	}
	var p Predicate
	p.Tell(r.Path(), 1<<30)
	b, err := compact(p)
	if err != nil || len(b) > 12<<20 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if len(p.Approvals)+p.ApprovalsCut != MaxAsked+5 || len(p.Approvals) == 0 {
		t.Errorf("%d and %d questions", len(p.Approvals), p.ApprovalsCut)
	}
}

func FuzzVerify(f *testing.F) {
	_, p, key := state(f)
	b := signed(f, key, p)
	f.Add(b)
	f.Add([]byte(`{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := Verify(in, Options{Key: event.Fingerprint(key.Public())})
		if err == nil && !sameStatement(t, b, s) {
			t.Errorf("evidence that nobody signed: %q", in)
		}
	})
}
