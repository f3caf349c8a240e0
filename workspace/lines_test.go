package workspace

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// rebuild gives the two texts of a comparison.
func rebuild(es []edit) (a, b []string) {
	for _, e := range es {
		if e.Op != '+' {
			a = append(a, e.Line)
		}
		if e.Op != '-' {
			b = append(b, e.Line)
		}
	}
	return a, b
}

// lcs is the length of a longest common subsequence, slowly.
func lcs(a, b []string) int {
	t := make([][]int, len(a)+1)
	t[0] = make([]int, len(b)+1)
	for i := range a {
		t[i+1] = make([]int, len(b)+1)
		for j := range b {
			if a[i] == b[j] {
				t[i+1][j+1] = t[i][j] + 1
			} else {
				t[i+1][j+1] = max(t[i][j+1], t[i+1][j])
			}
		}
	}
	return t[len(a)][len(b)]
}

func TestCompareLinesIsRightAndShortest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	text := func() []string {
		var l []string
		for range r.IntN(12) {
			l = append(l, string(rune('a'+r.IntN(3)))+"\n")
		}
		return l
	}
	for range 5000 {
		a, b := text(), text()
		es := compareLines(a, b)
		ga, gb := rebuild(es)
		if strings.Join(ga, "") != strings.Join(a, "") || strings.Join(gb, "") != strings.Join(b, "") {
			t.Fatalf("%q and %q come back as %q and %q", a, b, ga, gb)
		}
		kept := 0
		for _, e := range es {
			if e.Op == ' ' {
				kept++
			}
		}
		if want := lcs(a, b); kept != want {
			t.Fatalf("%q and %q share %d lines, want %d", a, b, kept, want)
		}
	}
}

func TestCompareLinesIsBounded(t *testing.T) {
	var a, b []string
	for i := range 200000 {
		a = append(a, strings.Repeat("a", i%7))
		b = append(b, strings.Repeat("b", i%5)+"x")
	}
	var ga, gb []string
	d := testenv.Work(t, func() { ga, gb = rebuild(compareLines(a, b)) })
	if len(ga) != len(a) || len(gb) != len(b) {
		t.Error("lines are lost")
	}
	if d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}

func FuzzDiffIsSafe(f *testing.F) {
	f.Add("a\nb", "a\nc\x1b[2J", "name\n\u202e")
	f.Fuzz(func(t *testing.T, before, after, name string) {
		var b strings.Builder
		c := Change{Path: name, Op: OpModify, Kind: KindFile, inProject: true, Target: after, Conflict: name, Reason: before}
		for _, o := range []DiffOptions{{}, {Stat: true}, {NameOnly: true}} {
			x := side{kind: KindFile, exists: true, data: []byte(before), size: int64(len(before))}
			y := side{kind: KindFile, exists: true, data: []byte(after), size: int64(len(after))}
			if err := writeChange(&b, c, x, y, o); err != nil {
				t.Fatal(err)
			}
		}
		for _, r := range b.String() {
			if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x202e {
				t.Fatalf("%q reaches the terminal in %q", r, b.String())
			}
		}
	})
}
