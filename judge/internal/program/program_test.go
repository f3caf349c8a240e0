package program

import "testing"

func TestDeeds(t *testing.T) {
	for _, c := range []struct {
		sed  bool
		text string
		want []Deed
	}{
		{false, `{print $1}`, nil}, {false, `BEGIN{system("id")}`, []Deed{{Run, "id"}}}, {false, `{print > "f"}`, []Deed{{Write, "f"}}}, {false, `$1 > 3`, nil},
		{false, `{print | "sh"}`, []Deed{{Run, "sh"}}}, {false, `/a|b/ {print "x > y | z"}`, nil},
		{true, `s/a/b/g`, nil}, {true, `1w f`, []Deed{{Write, "f"}}}, {true, `/x/r f`, []Deed{{Read, "f"}}}, {true, `s/a/b/w f`, []Deed{{Write, "f"}}},
		{true, `e id`, []Deed{{Run, "id"}, {Unknown, "e runs a command"}}},
	} {
		f := Awk
		if c.sed {
			f = Sed
		}
		got := f(c.text)
		if len(got) != len(c.want) {
			t.Errorf("%q: %v, want %v", c.text, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%q: %v, want %v", c.text, got, c.want)
			}
		}
	}
}

// FuzzPrograms: hostile programs never make the readers panic.
func FuzzPrograms(f *testing.F) {
	for _, s := range []string{`s/a/b/;e id`, `{print | "sh"}`, `$!N;s,\n, ,w f`, `/a\/b/,/c/{p;q}`, "a\\\nx", `BEGIN{"id"|getline x}`, `\%x%d`, `y/abc/`} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, s string) { Sed(s); Awk(s) })
}
