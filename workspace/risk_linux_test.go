package workspace

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func (w *world) assess() []Change {
	w.Helper()
	cs, err := w.Assess(w.pending())
	w.ok(err)
	return cs
}

func TestRiskFirst(t *testing.T) {
	text := strings.Repeat("a line of some text\n", 20)
	w := newWorld(t, map[string]string{
		"a.txt": "1\n", "code.go": "x := 1\n", "tool": "x", "old/name.go": text, "old/other.go": "y" + text,
		"Cargo.lock": "[[package]]\nname = \"a\"\nversion = \"1\"\nsource = \"registry+https://r.example/index\"\n",
	})
	w.edit("a.txt", "2\n")
	w.edit("code.go", "x := 1 // \u202e admin\n")
	w.edit("Cargo.lock", "[[package]]\nname = \"a\"\nversion = \"1\"\nsource = \"registry+https://evil.example/index\"\n")
	w.edit("tool", "x")
	w.put("tool", "x", 0o755)
	w.put("Makefile", "all:\n", 0o644)
	w.put(".envrc", "x", 0o644)
	w.put("new", "x", 0o755)
	w.put("emoji.md", "\U0001F469\u200d\U0001F52C \u2764\ufe0f caf\u00e9\n", 0o644)
	w.put("na\u200bme", "x", 0o644)
	w.put("web/package-lock.json", "{", 0o644)
	w.remove("old/name.go")
	tmp := w.view.TmpName()
	w.ok(unix.Symlinkat("../../etc/passwd", w.view.TmpDir(), tmp))
	w.ok(w.view.Place(tmp, "out", nil))
	var got strings.Builder
	for _, c := range w.assess() {
		got.WriteString(string(c.Op) + " " + c.Name())
		for _, r := range c.Risks {
			got.WriteString(" [" + string(r.Kind) + ": " + r.Reason + "]")
		}
		got.WriteByte('\n')
	}
	for i, want := range []string{
		"add .envrc\n",
		"add out [link: the link leads out of the project]\n",
		"[unicode: its name holds U+200B, which is not seen]\n",
		"modify Cargo.lock [lock-file: a 1 comes from evil.example instead of r.example]\n",
		"add web/package-lock.json [lock-file: it cannot be read: what it installs is not known]\n",
		"modify code.go [unicode: line 1 holds U+202E, which changes the order in which text is shown]\n",
		"mode tool [executable: it was made executable]\n",
	} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("%d: want %q in\n%s", i, want, got.String())
		}
	}
	all := got.String()
	if strings.Index(all, "Cargo.lock") > strings.Index(all, "Makefile") || strings.Index(all, ".envrc") > 10 || strings.Contains(all, "emoji.md [") {
		t.Errorf("order or false alarm:\n%s", all)
	}
}

func TestRenamesAreFound(t *testing.T) {
	text := strings.Repeat("a line of some text\n", 20)
	w := newWorld(t, map[string]string{"same": text + "s", "most": text + "m", "gone": "x\ny\n"})
	for _, n := range []string{"same", "most", "gone"} {
		w.remove(n)
	}
	w.put("to/same", text+"s", 0o644)
	w.put("to/most", text+"other\n", 0o644)
	w.put("else", "z\n", 0o644)
	from := map[string]string{}
	cs := w.assess()
	for _, c := range cs {
		from[c.Path] = c.From + c.To
	}
	for path, want := range map[string]string{"to/same": "same", "to/most": "most", "same": "to/same", "else": "", "gone": ""} {
		if from[path] != want {
			t.Errorf("%s: %q, want %q", path, from[path], want)
		}
	}
	var b bytes.Buffer
	w.ok(w.Diff(&b, cs, DiffOptions{}))
	for _, want := range []string{"rename from most\nrename to to/most\n", "-m\n", "+other\n", "# renamed to to/same\n", "--- a/same\n+++ b/to/same\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func FuzzUnseen(f *testing.F) {
	f.Add("a\u202eb")
	f.Add("\xff\xe2\x80")
	f.Fuzz(func(t *testing.T, s string) {
		if why := unseen(s); why != "" && ascii(s) {
			t.Errorf("%q: %s", s, why)
		}
	})
}

func TestLockFileThatIsNotRead(t *testing.T) {
	for _, c := range []struct{ before, after side }{
		{side{}, side{unread: "it cannot be read: x"}},
		{side{}, side{size: maxLock + 1}},
		{side{unread: "x"}, side{data: []byte("{}"), size: 2}},
		{side{size: maxLock + 1}, side{data: []byte("{}"), size: 2}},
	} {
		if len(lockRisks("a/package-lock.json", c.before, c.after)) == 0 {
			t.Errorf("%+v: no risk", c)
		}
	}
}
