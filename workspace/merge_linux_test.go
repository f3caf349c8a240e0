package workspace

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	textlines "github.com/belljar-dev/belljar/workspace/internal/lines"
)

const ten = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n17\n18\n19\n20\n"

func replace(s string, old, now string) string { return strings.Replace(s, old, now, 1) }

func TestMergeWithHostEdits(t *testing.T) {
	w := newWorld(t, map[string]string{"apart": ten, "near": ten, "same": ten})
	for _, n := range []string{"apart", "near", "same"} {
		w.edit(n, replace(ten, "\n5\n", "\nfive\n"))
	}
	w.write("apart", replace(ten, "\n15\n", "\nhost\n"))
	w.write("near", replace(ten, "\n6\n", "\nhost\n"))
	w.write("same", replace(replace(ten, "\n5\n", "\nfive\n"), "\n15\n", "\nhost\n"))
	w.wantList("modify apart", "modify near !", "modify same")
	var b bytes.Buffer
	w.ok(w.Diff(&b, w.pending()[:1], DiffOptions{}))
	if !strings.Contains(b.String(), "+five") || strings.Contains(b.String(), "-host") || !strings.Contains(b.String(), "# merged with your edit") {
		t.Errorf("diff of a merge:\n%s", b.String())
	}
	w.apply()
	w.has("apart", replace(replace(ten, "\n5\n", "\nfive\n"), "\n15\n", "\nhost\n"))
	w.has("near", replace(ten, "\n6\n", "\nhost\n"))
	w.wantList("modify near !")
	w.undo()
	w.has("apart", replace(ten, "\n15\n", "\nhost\n"))
	w.apply("apart")
	w.has("apart", replace(replace(ten, "\n5\n", "\nfive\n"), "\n15\n", "\nhost\n"))
}

func TestMergedLines(t *testing.T) {
	l := func(s string) []string { return strings.Split(s, "") }
	for _, c := range []struct{ base, a, b, want string }{
		{"abcdef", "Abcdef", "abcdeF", "AbcdeF"},
		{"abcdef", "abcdef", "abXdef", "abXdef"},
		{"abcdef", "abcdefx", "yabcdef", "yabcdefx"},
		{"abcdef", "acdef", "abcde", "acde"},
		{"abcdef", "abXdef", "abYdef", "!"},
		{"abcdef", "abXdef", "abXdef", "abXdef"},
		{"abcdef", "abxcdef", "abycdef", "!"},
		{"", "x", "", "x"},
		{"", "x", "y", "!"},
	} {
		out, ok := textlines.Join(l(c.base), l(c.a), l(c.b), maxEdits)
		got := strings.Join(out, "")
		if !ok {
			got = "!"
		}
		if got != c.want {
			t.Errorf("%s %s %s: %s, want %s", c.base, c.a, c.b, got, c.want)
		}
	}
}

// choose applies the hunks of a file for which take is true.
func (w *world) chooseHunks(path string, take ...bool) []Outcome {
	w.Helper()
	cs, err := w.Select(w.pending(), path)
	w.ok(err)
	p, err := w.Patch(cs[0])
	w.ok(err)
	if p.Hunks() != len(take) {
		w.Fatalf("%s has %d hunks, want %d", path, p.Hunks(), len(take))
	}
	c := p.Choose(take)
	if c == nil {
		return nil
	}
	out, err := w.ApplyChosen(context.Background(), []Choice{*c})
	w.ok(err)
	return out
}

func TestApplyHunks(t *testing.T) {
	both := replace(replace(ten, "\n3\n", "\nthree\n"), "\n17\n", "\nseventeen\n")
	w := newWorld(t, map[string]string{"f": ten, "other": "x"})
	w.edit("f", both)
	w.put("f", both, 0o755)
	w.edit("other", "y")
	w.chooseHunks("f", false, true)
	w.has("f", replace(ten, "\n17\n", "\nseventeen\n"))
	w.has("other", "x")
	if st, err := os.Stat(filepath.Join(w.Dir, "f")); err != nil || st.Mode().Perm() != 0o644 {
		t.Errorf("permissions landed with the first hunk: %v %v", st.Mode(), err)
	}
	w.wantList("modify f", "modify other")
	w.undo()
	w.has("f", ten)
	w.chooseHunks("f", true, false)
	w.chooseHunks("f", true)
	w.has("f", both)
	w.wantList("modify other")
}

// What the user was not shown does not land.
func TestHunksHoldToWhatWasShown(t *testing.T) {
	both := replace(replace(ten, "\n3\n", "\nthree\n"), "\n17\n", "\nseventeen\n")
	w := newWorld(t, map[string]string{"f": ten})
	w.edit("f", both)
	p, err := w.Patch(w.pending()[0])
	w.ok(err)
	c := p.Choose([]bool{true, false})
	w.put("f", replace(both, "three", "evil"), 0o644)
	out, err := w.ApplyChosen(context.Background(), []Choice{*c})
	w.ok(err)
	if len(out) != 1 || out[0].Status != Conflicted {
		t.Errorf("%+v", out)
	}
	w.has("f", ten)
	w.put("new", "good", 0o644)
	p, err = w.Patch(w.pending()[1])
	w.ok(err)
	c = p.Choose([]bool{true})
	w.put("new", "evil", 0o644)
	out, err = w.ApplyChosen(context.Background(), []Choice{*c})
	w.ok(err)
	if len(out) != 1 || out[0].Status != Conflicted {
		t.Errorf("%+v", out)
	}
	w.none("new")
}

// Hunks of a merge: the rest waits, on top of the host's edit.
func TestHunksOfAMerge(t *testing.T) {
	agent := replace(replace(ten, "\n3\n", "\nthree\n"), "\n17\n", "\nseventeen\n")
	host := replace(ten, "\n10\n", "\nhost\n")
	w := newWorld(t, map[string]string{"f": ten})
	w.edit("f", agent)
	w.write("f", host)
	w.chooseHunks("f", true, false)
	w.has("f", replace(host, "\n3\n", "\nthree\n"))
	w.apply()
	w.has("f", replace(replace(host, "\n3\n", "\nthree\n"), "\n17\n", "\nseventeen\n"))
	w.clean()
}

func FuzzHunks(f *testing.F) {
	f.Add("a\nb\n", "a\nc\n", uint64(1))
	f.Add(ten, replace(ten, "3", "x"), uint64(2))
	f.Fuzz(func(t *testing.T, a, b string, mask uint64) {
		before, after := side{kind: KindFile, exists: true, data: []byte(a)}, side{kind: KindFile, exists: true, data: []byte(b)}
		p := newPatch(Change{Op: OpModify, Kind: KindFile}, before, after)
		take := make([]bool, p.Hunks())
		all := true
		for i := range take {
			take[i] = mask>>(i%64)&1 == 1
			all = all && take[i]
		}
		c := p.Choose(take)
		if all != (c != nil && c.part.whole) && !p.Whole() {
			t.Fatal("all hunks are not the whole change")
		}
		if c == nil || c.part.whole {
			return
		}
		// What is left are the other hunks: taking them as well gives the whole.
		rest := newPatch(Change{Op: OpModify, Kind: KindFile}, side{kind: KindFile, exists: true, data: c.part.content}, after)
		every := make([]bool, rest.Hunks())
		for i := range every {
			every[i] = true
		}
		if c := rest.Choose(every); c == nil || !c.part.whole {
			t.Fatal("the rest is not the rest")
		}
		if out, ok := textlines.Join(lines(before), lines(before), lines(after), maxEdits); !ok || strings.Join(out, "") != b {
			t.Fatal("a merge with nothing is not the other side")
		}
	})
}
