package lockfile

import (
	"slices"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	for _, c := range []struct{ name, file, before, after, want string }{
		{"npm", "package-lock.json",
			`{"packages":{"":{},"node_modules/a":{"version":"1.0.0","resolved":"https://r.example/a-1.tgz","integrity":"s1"}}}`,
			`{"packages":{"":{},"node_modules/a":{"version":"1.0.0","resolved":"https://evil.example/a-1.tgz","integrity":"s2"}}}`,
			"a 1.0.0 comes from evil.example instead of r.example"},
		{"npm nested", "package-lock.json",
			`{"dependencies":{"a":{"version":"1.0.0","resolved":"https://r.example/a.tgz"}}}`,
			`{"dependencies":{"a":{"version":"1.0.0","resolved":"https://r.example/a.tgz","dependencies":{"b":{"version":"2.0.0","resolved":"git+ssh://git@evil.example/b"}}}}}`,
			"b 2.0.0 comes from ssh://evil.example, which the file did not name"},
		{"npm sum", "x/package-lock.json",
			`{"packages":{"node_modules/a":{"version":"1.0.0","resolved":"https://r.example/a-1.tgz","integrity":"s1"}}}`,
			`{"packages":{"node_modules/a":{"version":"1.0.0","resolved":"https://r.example/a-1.tgz","integrity":"s2"}}}`,
			"a 1.0.0 has another checksum at the same version"},
		{"npm update", "package-lock.json",
			`{"packages":{"node_modules/a":{"version":"1.0.0","resolved":"https://r.example/a-1.tgz","integrity":"s1"}}}`,
			`{"packages":{"node_modules/a":{"version":"1.0.1","resolved":"https://r.example/a-2.tgz","integrity":"s2"},"node_modules/b":{"version":"1.0.0","resolved":"https://r.example/b.tgz"}}}`, ""},
		{"yarn 1", "yarn.lock",
			"# yarn lockfile v1\n\n\"@x/a@^1.0.0\", \"@x/a@^1.1.0\":\n  version \"1.1.0\"\n  resolved \"https://r.example/a.tgz#abc\"\n  integrity s1\n",
			"# yarn lockfile v1\n\n\"@x/a@^1.0.0\", \"@x/a@^1.1.0\":\n  version \"1.1.0\"\n  resolved \"http://r.example/a.tgz#abc\"\n  integrity s1\n",
			"@x/a 1.1.0 comes from http://r.example instead of r.example"},
		{"yarn 2", "yarn.lock",
			"__metadata:\n  version: 6\n\n\"a@npm:^1.0.0\":\n  version: 1.0.0\n  resolution: \"a@npm:1.0.0\"\n  checksum: s1\n",
			"__metadata:\n  version: 6\n\n\"a@npm:^1.0.0\":\n  version: 1.0.0\n  resolution: \"a@https://evil.example/a.tgz\"\n  checksum: s1\n",
			"a 1.0.0 comes from evil.example instead of the tool's own registry"},
		{"pnpm", "pnpm-lock.yaml",
			"lockfileVersion: '9.0'\npackages:\n\n  '@x/a@1.0.0':\n    resolution: {integrity: s1}\n  b@2.0.0(react@1.0.0):\n    resolution: {integrity: s2}\nsnapshots:\n  b@2.0.0: {}\n",
			"lockfileVersion: '9.0'\npackages:\n\n  '@x/a@1.0.0':\n    resolution: {integrity: s1, tarball: https://evil.example/a.tgz}\n  b@2.0.0(react@1.0.0):\n    resolution:\n      integrity: s3\n",
			"@x/a 1.0.0 comes from evil.example instead of the tool's own registry|b 2.0.0 has another checksum at the same version"},
		{"cargo", "Cargo.lock",
			"[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+https://r.example/index\"\nchecksum = \"1\"\n",
			"[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"git+https://evil.example/a?rev=1#1\"\n",
			"a 1.0.0 comes from evil.example instead of r.example"},
		{"poetry", "poetry.lock",
			"[[package]]\nname = \"a\"\nversion = \"1\"\nfiles = [\n    {file = \"a.whl\", hash = \"h\"},\n]\n",
			"[[package]]\nname = \"a\"\nversion = \"1\"\n\n[package.source]\ntype = \"legacy\"\nurl = \"https://evil.example/simple\"\n",
			"a 1 comes from evil.example instead of the tool's own registry"},
		{"uv", "uv.lock",
			"[[package]]\nname = \"a\"\nversion = \"1\"\nsource = { registry = \"https://r.example/simple\" }\nsdist = { url = \"https://f.example/a.tgz\", hash = \"h1\" }\n",
			"[[package]]\nname = \"a\"\nversion = \"1\"\nsource = { registry = \"https://evil.example/simple\" }\nsdist = { url = \"https://f.example/a.tgz\", hash = \"h1\" }\n",
			"evil.example"},
		{"go.mod", "go.mod",
			"module m\nrequire (\n\tgithub.com/x/a v1.0.0\n)\n",
			"module m\nrequire (\n\tgithub.com/x/a v1.0.0 // indirect\n)\nreplace github.com/x/a => ../evil\n",
			"github.com/x/a (replaced) comes from replacement ../evil instead of github.com"},
		{"go.sum", "go.sum", "github.com/x/a v1.0.0 h1:1\n", "github.com/x/a v1.0.0 h1:2\nevil.example/b v1.0.0 h1:3\n",
			"github.com/x/a v1.0.0 has another checksum at the same version|evil.example/b v1.0.0 comes from evil.example, which the file did not name"},
		{"new", "go.sum", "", "github.com/x/a v1.0.0 h1:2\n", "packages come from github.com"},
		{"broken", "package-lock.json", "{", "[", ""},
	} {
		before, ok := Parse(c.file, []byte(c.before))
		after, _ := Parse(c.file, []byte(c.after))
		got := strings.Join(Compare(before, after), "|")
		if !ok || got != c.want && (c.name != "uv" || !strings.Contains(got, c.want)) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if Known("main.go") || !Known("a/Cargo.lock") {
		t.Error("Known")
	}
}

// What npm reads otherwise than a lenient reader, or no tool writes, is told.
func TestDoubts(t *testing.T) {
	const before = `{"packages":{"":{"name":"x"},"node_modules/a":{"version":"1.0.0","resolved":"https://r.example/a-1.tgz","integrity":"s1"}}}`
	for _, c := range []struct{ name, after, want, compared string }{
		{"clean", before, "", ""},
		{"npm's own", `{"packages":{"node_modules/a":{"version":"1.0.0","resolved":false,"integrity":"s1","dependencies":{"Version":"^1","link":"^1"}},"node_modules/Version":{"version":"1.0.0","resolved":"https://r.example/v"}}}`, "",
			"a 1.0.0 comes from the tool's own registry instead of r.example"},
		{"another case", `{"packages":{"node_modules/a":{"version":"1.0.0","resolved":"https://evil.example/a.tgz","Resolved":"https://r.example/a-1.tgz","integrity":"s1"}}}`,
			`a has a key "Resolved" beside or instead of "resolved"`, "a 1.0.0 comes from evil.example instead of r.example"},
		{"another case above", `{"packages":{"node_modules/a":{"version":"1.0.0","resolved":"https://evil.example/a.tgz"}},"Packages":{}}`,
			`the file has a key "Packages" beside or instead of "packages"`, "a 1.0.0 comes from evil.example instead of r.example"},
		{"twice", `{"packages":{"node_modules/a":{"resolved":"https://r.example/a-1.tgz","version":"1.0.0","resolved":"https://evil.example/a.tgz"}}}`,
			`the key "resolved" comes twice in one place`, "a 1.0.0 comes from evil.example instead of r.example"},
		{"twice above", `{"packages":{"node_modules/a":{"version":"1.0.0","resolved":"https://evil.example/a.tgz"}},"packages":{}}`, `the key "packages" comes twice in one place`, ""},
		{"type", `{"packages":{"node_modules/a":{"version":1,"resolved":"https://evil.example/a.tgz"}}}`,
			`"version" of a is not what it ought to be`, "a comes from evil.example instead of r.example"},
		{"no entry", `{"packages":{"node_modules/a":[]}}`, `the entry of "a" is not what it ought to be`, ""},
		{"no packages", `{"packages":[]}`, `"packages" of the file is not what it ought to be`, ""},
		{"broken", `{`, "it cannot be read: what it installs is not known", ""},
		{"with more", before + "x", "it cannot be read: what it installs is not known", ""},
		{"empty", "", "it cannot be read: what it installs is not known", ""},
		{"deep", strings.Repeat(`{"dependencies":{"a":`, 150) + "{}" + strings.Repeat("}}", 150), "its dependencies are nested too deep to be looked at", ""},
		{"deeper", strings.Repeat("[", 100_000), "it cannot be read: what it installs is not known", ""},
	} {
		if got := strings.Join(Doubts("x/package-lock.json", []byte(c.after)), "|"); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		was, _ := Parse("package-lock.json", []byte(before))
		now, _ := Parse("package-lock.json", []byte(c.after))
		if got := strings.Join(Compare(was, now), "|"); got != c.compared && c.name != "deep" {
			t.Errorf("%s: compared %q, want %q", c.name, got, c.compared)
		}
	}
	if got := Doubts("go.sum", []byte("{")); got != nil {
		t.Errorf("another format: %q", got)
	}
}

func FuzzParse(f *testing.F) {
	for name := range parsers {
		f.Add(name, []byte("[[package]]\nname = \"a\"\nsource = { git = \"x\" }\n"), []byte("a@1, b@2:\n  version \"1\"\n  resolved \"https://x/#\"\n"))
		f.Add(name, []byte("packages:\n  a@1:\n    resolution: {tarball: x}\n"), []byte("replace (\n a => b\n)\n"))
	}
	f.Fuzz(func(t *testing.T, name string, a, b []byte) {
		if out := Doubts(name, a); len(out) > maxTold+1 {
			t.Errorf("%d doubts", len(out))
		}
		x, _ := Parse(name, a)
		y, _ := Parse(name, b)
		if out := Compare(x, y); len(out) > maxTold+1 {
			t.Errorf("%d lines", len(out))
		}
		if out := Compare(x, slices.Clone(x)); len(x) > 0 && len(out) > 0 && !duplicates(x) {
			t.Errorf("a file differs from itself: %q", out)
		}
	})
}

func duplicates(l Lock) bool {
	seen := map[string]bool{}
	for _, p := range l {
		if seen[p.key()] {
			return true
		}
		seen[p.key()] = true
	}
	return false
}
