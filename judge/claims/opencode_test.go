package claims

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func part(tool, status, command, rest string) string {
	at := start.Add(time.Second).UnixMilli()
	return fmt.Sprintf(`{"type":"tool","tool":%q,"callID":"c","state":{"status":%q,"input":{"command":%q},"time":{"start":%d,"end":%d}%s}}`, tool, status, command, at, at+1000, rest)
}

func TestOpenCode(t *testing.T) {
	for text, want := range map[string]string{
		part("bash", "completed", "make test", `,"metadata":{"exit":2},"output":"no"`): "make test [2] false\n",
		part("bash", "completed", "sleep 9", `,"metadata":{"exit":null}`):              "sleep 9 [] false\n",
		part("bash", "error", "rm x", `,"error":"rejected"`):                           "rm x [] true\n",
		part("bash", "running", "serve", ""):                                           "serve [] false\n",
		part("bash", "pending", "", ""):                                                "",
		part("write", "completed", "no line", ""):                                      "",
		`{"type":"text","text":"make test"}`:                                           "",
		`{`:                                                                            "",
		part("bash", "completed", "x", `,"metadata":{"exit":0},"time":{"start":1,"end":900000000000000000}`):    "x [0] false\n",
		part("bash", "completed", "x", `,"metadata":{"exit":-1},"time":{"start":-900000000000000000,"end":-1}`): "x [] false\n",
	} {
		var all []*Claim
		if c := openCodeClaim([]byte(text)); c != nil {
			all = append(all, c)
			c.Time = start // of others nothing is kept
			if _, err := json.Marshal(c); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
		if got := show(all); got != want {
			t.Errorf("%s: got %q want %q", text, got, want)
		}
	}
}

// TestHostileDatabase: links, pipes, what is no database, and what is too large.
func TestHostileDatabase(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("SQLite format 3\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		make func(dir string) error
		note string
		err  error
	}{
		"no database": {func(d string) error { return os.WriteFile(filepath.Join(d, "opencode.db"), []byte("x"), 0o600) }, "malformed", nil},
		"log is a link": {func(d string) error {
			return errors.Join(os.WriteFile(filepath.Join(d, "opencode.db"), nil, 0o600), os.Symlink(outside, filepath.Join(d, "opencode.db-wal")))
		}, "escapes from parent", nil},
		"log is a folder": {func(d string) error {
			return errors.Join(os.WriteFile(filepath.Join(d, "opencode.db"), nil, 0o600), os.Mkdir(filepath.Join(d, "opencode.db-wal"), 0o700))
		}, "no regular file", nil},
		"too large": {func(d string) error {
			return errors.Join(os.WriteFile(filepath.Join(d, "opencode.db"), nil, 0o600), os.Truncate(filepath.Join(d, "opencode.db"), maxAllBytes+1))
		}, "", ErrBounds},
		"deep below": {func(d string) error {
			return os.MkdirAll(filepath.Join(d, strings.Repeat("snapshot/", maxDepth+4)), 0o700)
		}, "", nil},
		"is a link": {func(d string) error { return os.Symlink(outside, filepath.Join(d, "opencode.db")) }, "", nil},
	} {
		dir := t.TempDir()
		if err := c.make(dir); err != nil {
			t.Fatal(err)
		}
		all, _, notes, err := Read([]Dir{{"opencode", dir}}, start, start.Add(time.Minute))
		if !errors.Is(err, c.err) || len(all) != 0 || c.note != "" && !strings.Contains(strings.Join(notes, "\n"), c.note) || c.note == "" && len(notes) > 0 {
			t.Errorf("%s: %d claims, %q, %v", name, len(all), notes, err)
		}
	}
}
