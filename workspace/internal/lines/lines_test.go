package lines

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
)

func TestMerge(t *testing.T) {
	base := "1\n2\n3\n4\n5\n6\n7\n8\n"
	for _, c := range []struct {
		name, ours, theirs, want string
		conflicts                int
	}{
		{"same", base, base, base, 0},
		{"one side", "0\n" + base, base, "0\n" + base, 0},
		{"apart", "0\n" + base, base + "9\n", "0\n" + base + "9\n", 0},
		{"both alike", "1\n2\nx\n4\n5\n6\n7\n8\n", "1\n2\nx\n4\n5\n6\n7\n8\n", "1\n2\nx\n4\n5\n6\n7\n8\n", 0},
		{"removed and added", "2\n3\n4\n5\n6\n7\n8\n", "1\n2\n3\n4\n5\n6\n7\n8\n9", "2\n3\n4\n5\n6\n7\n8\n9", 0},
		{"conflict", "1\n2\nx\n4\n5\n6\n7\n8\n", "1\n2\ny\n4\n5\n6\n7\n8\n", "1\n2\n<<<<<<< a\nx\n=======\ny\n>>>>>>> b\n4\n5\n6\n7\n8\n", 1},
		{"removed and changed", "1\n2\n4\n5\n6\n7\n8\n", "1\n2\ny\n4\n5\n6\n7\n8\n", "1\n2\n<<<<<<< a\n=======\ny\n>>>>>>> b\n4\n5\n6\n7\n8\n", 1},
	} {
		got, n := Merge([]byte(base), []byte(c.ours), []byte(c.theirs), Labels{"a", "b"})
		if string(got) != c.want || n != c.conflicts {
			t.Errorf("%s: %d conflicts\n%s", c.name, n, got)
		}
	}
}

// FuzzMerge: where nothing is in conflict, git merges the same files without one, or
// at least each side alone survives.
func FuzzMerge(f *testing.F) {
	f.Add([]byte("a\nb\nc\n"), []byte("a\nx\nc\n"), []byte("a\nb\nc\nd"))
	f.Add([]byte(""), []byte("\n\n"), []byte("x"))
	f.Fuzz(func(t *testing.T, base, a, b []byte) {
		if got, n := Merge(base, a, base, Labels{}); n != 0 || !bytes.Equal(got, a) {
			t.Errorf("only ours changed: %q, %d conflicts", got, n)
		}
		if got, n := Merge(base, base, b, Labels{}); n != 0 || !bytes.Equal(got, b) {
			t.Errorf("only theirs changed: %q, %d conflicts", got, n)
		}
		if got, n := Merge(base, a, a, Labels{}); n != 0 || !bytes.Equal(got, a) {
			t.Errorf("both changed alike: %q, %d conflicts", got, n)
		}
	})
}

// TestAsGit: what merges here without a conflict git merges to the same text.
func TestAsGit(t *testing.T) {
	testenv.Need(t, "git")
	dir := t.TempDir()
	clean := 0
	for seed := range 150 {
		texts := variants(seed)
		got, n := Merge(texts[0], texts[1], texts[2], Labels{"a", "b"})
		if n != 0 {
			continue
		}
		for i, name := range []string{"base", "ours", "theirs"} {
			if err := os.WriteFile(filepath.Join(dir, name), texts[i], 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c := exec.Command("git", "merge-file", "-p", "-q", "ours", "base", "theirs")
		c.Dir = dir
		want, err := c.Output()
		if err != nil {
			continue // git, which joins places that touch, sees a conflict: the result here is another order of the same lines
		}
		clean++
		if !bytes.Equal(got, want) {
			t.Errorf("seed %d\nbase %q\nours %q\ntheirs %q\ngot  %q\nwant %q", seed, texts[0], texts[1], texts[2], got, want)
		}
	}
	if clean < 20 {
		t.Errorf("only %d were merged", clean)
	}
}

// variants are a text of distinct lines and two that come from it, of a seed.
func variants(seed int) [3][]byte {
	r := uint32(seed*2654435761 + 1)
	next := func(n int) int { r = r*1664525 + 1013904223; return int(r>>8) % n }
	var base [][]byte
	for i := range 30 {
		base = append(base, []byte{'l', byte('0' + i/10), byte('0' + i%10), '\n'})
	}
	vary := func(tag byte) []byte {
		var out []byte
		for i, l := range base {
			switch next(40) {
			case 0:
				out = append(out, tag, byte('0'+i%10), '\n')
			case 1:
			case 2:
				out = append(append(out, l...), tag, 'n', byte('0'+i%10), '\n')
			default:
				out = append(out, l...)
			}
		}
		return out
	}
	return [3][]byte{bytes.Join(base, nil), vary('a'), vary('b')}
}
