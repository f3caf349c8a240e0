package event

import (
	"os"
	"strings"
	"testing"

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
