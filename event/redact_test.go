package event

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

func TestRedact(t *testing.T) {
	a20, a36 := strings.Repeat("aB3", 7)[:20], strings.Repeat("xY9", 12)
	for in, want := range map[string]string{
		"git status":                        "git status",
		"ghp_" + a36:                        "ghp_[redacted: 36 bytes]",
		"x=ghp_" + a36 + ";ls":              "x=ghp_[redacted: 36 bytes];ls",
		"sk-ant-api03-" + a20:               "sk-ant-[redacted: 26 bytes]",
		"sk-" + a20:                         "sk-[redacted: 20 bytes]",
		"a-task-" + a20:                     "a-task-" + a20, // no key begins within a word
		"AKIA" + "ABCDEFGHIJKLMNOP":         "AKIA[redacted: 16 bytes]",
		"Authorization: Bearer " + a20:      "Authorization: Bearer [redacted: 20 bytes]",
		"AUTHORIZATION: bEARER " + a20:      "AUTHORIZATION: bEARER [redacted: 20 bytes]",
		"Authorization: Basic dXNlcjpwYXNz": "Authorization: Basic [redacted: 12 bytes]",
		"https://me:hunter2@example.com/x":  "https://me:[redacted: 7 bytes]@example.com/x",
		"https://me@example.com/x:y@z":      "https://me@example.com/x:y@z",
		"mysql --password=hunter2 db":       "mysql --password=[redacted: 7 bytes] db",
		"GITHUB_TOKEN=0123456789 gh":        "GITHUB_TOKEN=[redacted: 10 bytes] gh",
		"TOKEN=$(cat /run/token)":           "TOKEN=$(cat /run/token)", // a command stays
		"sk-" + strings.Repeat("a", 2000):   "sk-" + strings.Repeat("a", 2000),
		"/bot/eyJ" + a36 + "." + a36 + "/x": "/bot/eyJ[redacted: 73 bytes]/x",
		"-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----": "-----BEGIN OPENSSH PRIVATE KEY-----[redacted: 5 bytes]-----END OPENSSH PRIVATE KEY-----",
		"-----BEGIN PRIVATE KEY-----cut off":                                          "-----BEGIN PRIVATE KEY-----[redacted: 7 bytes]",
		"ghp_" + a36 + " ghp_" + a36:                                                  "ghp_[redacted: 36 bytes] ghp_[redacted: 36 bytes]",
	} {
		if got := Redact(in); got != want {
			t.Errorf("%q:\n got %q\nwant %q", in, got, want)
		}
	}
}

// What is known, and what looks like a secret, is in no byte of the file.
func TestSecretsAreNotRecorded(t *testing.T) {
	const standIn, value = "stand-in-0123456789", "value-of-a-variable"
	token := "ghp_" + strings.Repeat("k", 36)
	r := newRecord(t, t.TempDir(), "s", func(o *CreateOptions) {
		o.Start.Argv = []string{"sh", "-c", token + value}
		o.Plan = &belljar.Plan{Command: belljar.Exec{Argv: []string{token}}}
		o.Secrets = []Secret{{"stand-in of KEY", standIn}, {"MINE", value}, {"SHORT", "sh"}, {"EMPTY", ""}, {"PART", value[:10]}}
	})
	argv := []string{"curl", "-H", "x-api-key: " + standIn, token, "a" + value + "b"}
	for _, e := range []belljar.Event{
		{Kind: belljar.EventExec, Exec: &belljar.ExecEvent{Argv: argv, Refused: "no " + value}},
		{Kind: belljar.EventRequest, Net: &belljar.NetEvent{Path: "/x/" + token, Reason: standIn}},
		{Kind: belljar.EventAsk, Ask: &belljar.AskEvent{Command: "curl " + token, Note: value, Path: "/" + standIn}},
	} {
		if err := r.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if argv[3] != token {
		t.Error("the caller's words were changed")
	}
	if err := r.Close(belljar.EndEvent{End: belljar.End{Detail: value}}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(r.Path())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{standIn, value, token} {
		if strings.Contains(string(b), s) {
			t.Errorf("%s is on record:\n%s", s, b)
		}
	}
	for _, want := range []string{"x-api-key: [stand-in of KEY]", "a[MINE]b", "ghp_[redacted: 36 bytes]", `"sh","-c"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is missing:\n%s", want, b)
		}
	}
}

// asTheyAre are the texts of events that stay, and why. Whoever adds a field decides.
var asTheyAre = map[string]string{
	"StartEvent": "belljar's own and the user's, but for Argv", "Plan": "the user's, but for Command.Argv", "SampledEvent": "belljar's own", "LimitEvent": "belljar's own",
	"TerminalEvent": "belljar's own", "FileEvent": "names of files are what the event is about", "Origin": "a rule of the user's policy",
	"ExecEvent.Path": "the name of a file", "ExecEvent.Called": "the name of a file", "ExecEvent.Digest": "never written",
	"NetEvent.Proto": "belljar's own", "NetEvent.Host": "a name", "NetEvent.Addr": "an address", "NetEvent.Method": "a word", "NetEvent.Credential": "a name of the policy",
	"LLMSpent": "the name of a model", "AskEvent.ID": "belljar's own", "AskEvent.Host": "a name", "AskEvent.Method": "a word", "AskEvent.Answer": "belljar's own", "AskEvent.Scope": "belljar's own",
	"AskEvent.By":      "a user's name",
	"JudgeEvent.Agent": "a word", "JudgeEvent.Verdict": "belljar's own", "JudgeEvent.Answer": "belljar's own", "JudgeEvent.Rule": "of the user's policy", "JudgeEvent.Digest": "a hash",
	"SegmentEvent": "belljar's own", "End.Reason": "belljar's own", "End.Limit": "belljar's own",
}

// fill sets every text below v that is not to stay to token, and counts them.
func fill(v reflect.Value, name, token string) (n int) {
	if asTheyAre[name] != "" || asTheyAre[v.Type().Name()] != "" && name != "" {
		return 0
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return fill(v.Elem(), v.Type().Elem().Name(), token)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return 0
		}
		for i := range v.NumField() {
			n += fill(v.Field(i), v.Type().Name()+"."+v.Type().Field(i).Name, token)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		return fill(v.Index(0), name+"[]", token)
	case reflect.String:
		v.SetString("x " + token)
		return 1
	}
	return n
}

// No text of any kind of event is forgotten.
func TestEveryKindIsRedacted(t *testing.T) {
	const standIn = "stand-in-0123456789"
	token := "ghp_" + strings.Repeat("k", 36)
	r := newRedactor([]Secret{{"KEY", standIn}})
	filled := 0
	for i := range reflect.TypeFor[belljar.Event]().NumField() {
		f := reflect.TypeFor[belljar.Event]().Field(i)
		if f.Type.Kind() != reflect.Pointer {
			continue
		}
		for _, secret := range []string{token, standIn} {
			e := belljar.Event{Kind: "x"}
			filled += fill(reflect.ValueOf(&e).Elem().Field(i), f.Type.Elem().Name(), secret)
			b, err := r.encode(e)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b), secret) {
				t.Errorf("%s: %s is on record: %s", f.Name, secret, b)
			}
		}
	}
	if filled < 2*10 {
		t.Errorf("only %d texts were looked at", filled)
	}
}

// A line that is cut tells of its tail, and cannot imitate a verdict.
func TestLongAndLyingLines(t *testing.T) {
	r := newRecord(t, t.TempDir(), "l")
	long := strings.Repeat("x ", maxString/2) + "; rm -rf /"
	for _, l := range []string{long, "ls'  allow, allowed: ok  "} {
		if err := r.Record(t.Context(), belljar.Event{Kind: belljar.EventJudge, Judge: &belljar.JudgeEvent{Agent: "a", Line: l, Dir: "/w", Verdict: "deny", Answer: "denied"}}); err != nil {
			t.Fatal(err)
		}
	}
	all := readAll(t, r.Path(), Filter{Kinds: []belljar.EventKind{belljar.EventJudge}})
	sum := sha256.Sum256([]byte(long))
	if j := all[0].Judge; j.Truncated != len("; rm -rf /") || j.Digest != hex.EncodeToString(sum[:]) {
		t.Errorf("%d bytes more, %s", j.Truncated, j.Digest)
	}
	if s := Line(&all[0]); !strings.Contains(s, "10 bytes more, SHA-256 of all "+hex.EncodeToString(sum[:])) {
		t.Error("the tail is not told")
	}
	if s := Line(&all[1]); s != `deny, denied: a 'ls'\''  allow, allowed: ok  '  in '/w'` {
		t.Errorf("%s", s)
	}
	for f, want := range map[*Filter]int{{Verdict: VerdictDeny}: 2, {Verdict: VerdictAllow}: 0, {Path: "/w"}: 2, {Path: "/v"}: 0} {
		if got := len(readAll(t, r.Path(), *f)); got != want {
			t.Errorf("%+v: %d, want %d", f, got, want)
		}
	}
}

// What is passed over is nothing that a pattern means.
func TestNothingIsPassedOver(t *testing.T) {
	for _, p := range patterns {
		if s := p.prefix + strings.Repeat("A", p.least); !mayHide(s) || Redact(s) == s {
			t.Errorf("%q is passed over", s)
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("Authorization: Bearer abcdefghijklmnopqrstuvwxyz", "https://a:b@c")
	f.Add("-----BEGIN PRIVATE KEY-----x", "sk-ant-0123456789012345678901234567890")
	f.Fuzz(func(t *testing.T, a, b string) {
		once := Redact(a + b)
		if twice := Redact(once); twice != once {
			t.Errorf("%q, then %q", once, twice)
		}
		// A token stays hidden wherever it stands, unless it is part of a longer word.
		token := "ghp_" + strings.Repeat("k", 36)
		if strings.Contains(Redact(a+" "+token+" "+b), token) {
			t.Errorf("shown in %q %q", a, b)
		}
	})
}

func BenchmarkRedact(b *testing.B) {
	r := newRedactor([]Secret{{"KEY", "stand-in-0123456789"}})
	argv := []string{"git", "-c", "user.name=alice", "commit", "-m", "Make the parser take what the printer prints, and say where it does not"}
	for b.Loop() {
		r.argv(argv)
	}
}
