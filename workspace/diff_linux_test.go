package workspace

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiffText(t *testing.T) {
	w := newWorld(t, map[string]string{"f": "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "bin": "a\x00b", "gone": "x\n"})
	w.edit("f", "1\n2\n3\n4\nfive\n6\n7\n8\n9\nten")
	w.edit("bin", "a\x00c")
	w.put("evil\n\x1b[2Jname", "\x1b]52;c;evil\x07\u202e\n", 0o644)
	w.remove("gone")
	var b bytes.Buffer
	w.ok(w.Diff(&b, w.pending(), DiffOptions{}))
	want := `# bin: modify file
diff a/bin b/bin
--- a/bin
+++ b/bin
Binary files differ: 3 bytes before, 3 after
# "evil\n\x1b[2Jname": add file
diff "a/evil\n\x1b[2Jname" "b/evil\n\x1b[2Jname"
new file mode 100644
--- /dev/null
+++ "b/evil\n\x1b[2Jname"
@@ -0,0 +1,1 @@
+\x1b]52;c;evil\x07\u202e
# f: modify file
diff a/f b/f
--- a/f
+++ b/f
@@ -2,8 +2,9 @@
 2
 3
 4
-5
+five
 6
 7
 8
 9
+ten
\ No newline at end of file
# gone: delete file
diff a/gone b/gone
deleted file mode 100644
--- a/gone
+++ /dev/null
@@ -1,1 +0,0 @@
-x
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("diff (-want +got):\n%s", d)
	}
	b.Reset()
	w.ok(w.Diff(&b, w.pending(), DiffOptions{NameOnly: true}))
	if b.String() != "bin\n\"evil\\n\\x1b[2Jname\"\nf\ngone\n" {
		t.Errorf("names: %q", b.String())
	}
	b.Reset()
	w.ok(w.Diff(&b, w.pending(), DiffOptions{Stat: true}))
	if !strings.Contains(b.String(), " f | modify +2 -1\n") || strings.ContainsAny(b.String(), "\x1b") {
		t.Errorf("stat: %q", b.String())
	}
}
