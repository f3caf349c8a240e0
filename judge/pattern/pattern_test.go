package pattern

import "testing"

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, line string
		want          bool
	}{
		{"npm run *", "npm run build", true}, {"npm run *", "npm run", true}, {"npm run *", "npm runner", false}, {"npm run *", "npm run a -- b", true},
		{"git * --force", "git push --force", true}, {"git * --force", "git push", false}, {"mkfs.*", "mkfs.ext4", true}, {"mkfs.* *", "mkfs.ext4 /dev/x", true},
		{"*", "anything at all", true}, {`'*'`, "x", false}, {`"a b" c`, `'a b' c`, true}, {"a*b*c", "axxbyyc", true}, {"a*b*c", "ac", false}, {"ls", "ls -l", false},
	} {
		p, err := Parse(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		words, err := Words(c.line)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Match(words); got != c.want {
			t.Errorf("%q on %q: %v", c.pattern, c.line, got)
		}
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("git push *", "git push origin")
	f.Add(`a"*"b *c* \d`, `'x' y`)
	f.Fuzz(func(t *testing.T, pattern, line string) {
		p, err := Parse(pattern)
		words, werr := Words(line)
		if err != nil || werr != nil {
			return
		}
		unknown := func(s string) bool { return s == "?" }
		if p.Match(words) && !p.MayMatch(words, unknown) {
			t.Errorf("%q matches %q and may not match it", pattern, line)
		}
	})
}
