package gitindex

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing/format/index"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// ent is an entry of an index made by hand.
type ent struct {
	path  string
	mode  uint32
	stage uint16
	tweak func(entry []byte) []byte
}

const file, link, module = 0o100644, 0o120000, 0o160000

// build writes a version 2 index.
func build(entries []ent, tail ...byte) []byte {
	var b bytes.Buffer
	b.WriteString("DIRC")
	for _, v := range []uint32{2, uint32(len(entries))} {
		_ = binary.Write(&b, binary.BigEndian, v)
	}
	for _, e := range entries {
		x := make([]byte, 62)
		binary.BigEndian.PutUint32(x[24:], e.mode)
		binary.BigEndian.PutUint16(x[60:], uint16(min(len(e.path), 0xfff))|e.stage<<12)
		x = append(x, e.path...)
		x = append(x, make([]byte, 8-len(x)%8)...)
		if e.tweak != nil {
			x = e.tweak(x)
		}
		b.Write(x)
	}
	b.Write(tail)
	b.Write(make([]byte, 20))
	return b.Bytes()
}

func check(b []byte) error { return Check(bytes.NewReader(b), int64(len(b))) }

func TestForged(t *testing.T) {
	for _, c := range []struct {
		want    string // part of the error, empty for none
		entries []ent
	}{
		{"", nil},
		{"", []ent{{path: "a", mode: file}, {path: "a-b", mode: file}, {path: "b/c", mode: link}, {path: "m", mode: module}}},
		{"", []ent{{path: "a", mode: file, stage: 1}, {path: "a", mode: file, stage: 2}}},
		{"", []ent{{path: strings.Repeat("x", 255) + "/" + strings.Repeat("y", 255), mode: file}}},
		{"git directory", []ent{{path: ".git/hooks/post-checkout", mode: file}}},
		{"git directory", []ent{{path: "a/.GIT/config", mode: file}}},
		{"git directory", []ent{{path: "a/git~1/config", mode: file}}},
		{"git directory", []ent{{path: ".git. /config", mode: file}}},
		{"git directory", []ent{{path: ".g\u200cit/config", mode: file}}},
		{"git directory", []ent{{path: `a\.git\config`, mode: file}}},
		{"git directory", []ent{{path: "a/.git::$INDEX_ALLOCATION/x", mode: file}}},
		{"git directory", []ent{{path: ".git", mode: link}}},
		{"leaves", []ent{{path: "../x", mode: file}}},
		{"leaves", []ent{{path: "a/../../x", mode: file}}},
		{"leaves", []ent{{path: `a\..\x`, mode: file}}},
		{"empty component", []ent{{path: "/etc/x", mode: file}}},
		{"empty component", []ent{{path: "a//x", mode: file}}},
		{"empty component", []ent{{path: "a/", mode: file}}},
		{"no path", []ent{{path: "", mode: file}}},
		{"impossible mode", []ent{{path: "a", mode: 0o020000}}},
		{"lies below", []ent{{path: "a", mode: link}, {path: "a-b", mode: file}, {path: "a/x", mode: file}}},
		{"lies below", []ent{{path: "A", mode: link}, {path: "a/x", mode: file}}},
		{"lies below", []ent{{path: "a", mode: module}, {path: "a/x", mode: file}}},
		{"in place of a file", []ent{{path: ".gitmodules", mode: link}}},
		{"out of order", []ent{{path: "b", mode: file}, {path: "a", mode: file}}},
		{"out of order", []ent{{path: "a", mode: file}, {path: "a", mode: file}}},
		{"another length", []ent{{path: "a.gith", mode: file, tweak: func(e []byte) []byte { e[61] = 2; return e }}}},
		{"padding", []ent{{path: "abcd", mode: file, tweak: func(e []byte) []byte { e[len(e)-1] = 'x'; return e }}}},
		{"version", []ent{{path: "a", mode: file, tweak: func(e []byte) []byte { e[60] |= 0x40; return e }}}},
		{"longer than", []ent{{path: strings.Repeat("x", maxPath+1), mode: file}}},
	} {
		err := check(build(c.entries))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%+v: %v", c.entries, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%.80v: %v, want an error with %q", c.entries, err, c.want)
		}
	}
}

func TestDamaged(t *testing.T) {
	good := build([]ent{{path: "a", mode: file}, {path: "b", mode: file}})
	end := uint32(len(good) - 20)
	ext := func(sig string, data ...uint32) []byte {
		b := binary.BigEndian.AppendUint32([]byte(sig), uint32(4*len(data)))
		for _, d := range data {
			b = binary.BigEndian.AppendUint32(b, d)
		}
		return b
	}
	with := func(tail []byte) []byte {
		return build([]ent{{path: "a", mode: file}, {path: "b", mode: file}}, tail...)
	}
	eoie := func(at uint32) []byte { return ext("EOIE", at, 0, 0, 0, 0, 0) }
	for name, c := range map[string]struct {
		b  []byte
		ok bool
	}{
		"good": {good, true}, "empty": {nil, false}, "short": {good[:40], false}, "cut": {good[:len(good)-30], false},
		"magic": {append([]byte("XIRC"), good[4:]...), false}, "version": {append([]byte("DIRC\x00\x00\x00\x09"), good[8:]...), false},
		"count":        {append([]byte("DIRC\x00\x00\x00\x02\xff\xff\xff\xff"), good[12:]...), false},
		"optional ext": {with(ext("TREE", 1)), true}, "mandatory ext": {with(ext("evil", 1)), false}, "long ext": {with([]byte("TREE\xff\xff\xff\xff")), false},
		"eoie true": {with(eoie(end)), true}, "eoie false": {with(eoie(end + 8)), false},
		"eoie hidden": {with(append([]byte("UNTR\x00\x00\x00\x20"), eoie(12)...)), false},
		"ieot true":   {with(ext("IEOT", 1, 12, 1, 76, 1)), true}, "ieot false": {with(ext("IEOT", 1, 12, 1, 100, 1)), false},
		"ieot few": {with(ext("IEOT", 1, 12, 1)), false}, "ieot version": {with(ext("IEOT", 2, 12, 2)), false}, "ieot odd": {with(ext("IEOT", 1, 12)), false},
	} {
		if err := check(c.b); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever git itself writes is harmless.
func TestRealIndexes(t *testing.T) {
	testenv.Need(t, "git")
	for name, setup := range map[string]string{
		"v2":      "git init -q .; mkdir d; echo 1 >d/f; ln -s f d/l; git add .",
		"v3":      "git init -q .; echo 1 >f; git add -N f",
		"v4":      "git init -q .; mkdir -p a/b; for i in 1 2 3 4; do echo $i >a/b/file$i; done; git add .; git update-index --index-version 4",
		"split":   "git init -q .; for i in 1 2 3; do echo $i >f$i; done; git add .; git update-index --split-index; echo 4 >f1; git add f1",
		"sha256":  "git init -q --object-format=sha256 .; echo 1 >f; git add .",
		"merge":   "git init -q .; echo 1 >f; git add .; git commit -qm 1; git checkout -qb x; echo 2 >f; git commit -qam 2; git checkout -q -; echo 3 >f; git commit -qam 3; git merge -q x || true",
		"threads": "git init -q .; git config index.threads 4; for v in 2 4; do seq -f '100644 e69de29bb2d1d6434b8b29ae775ad8c2e48c5391 0\td/f%06.0f' 30000 | git update-index --index-version $v --index-info; done",
		"sparse":  "git init -q .; mkdir -p a/b c; echo 1 >a/b/f; echo 2 >c/g; git add .; git commit -qm 1; git sparse-checkout init --cone --sparse-index; git sparse-checkout set c",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			git(t, dir, setup)
			format := FormatOf(read(t, filepath.Join(dir, ".git/config")))
			files, _ := filepath.Glob(filepath.Join(dir, ".git/*index*"))
			if len(files) == 0 {
				t.Fatal("git wrote no index")
			}
			for _, f := range files {
				b := read(t, f)
				if err := CheckFormat(bytes.NewReader(b), int64(len(b)), format); err != nil {
					t.Errorf("%s: %v", filepath.Base(f), err)
				}
			}
		})
	}
}

// Real git writes the hook that a forged index names: the check is needed.
func TestAttackIsReal(t *testing.T) {
	testenv.Need(t, "git")
	dir := t.TempDir()
	git(t, dir, "git init -q .; printf evil | git hash-object -w --stdin >id")
	id, err := hex.DecodeString(strings.TrimSpace(string(read(t, filepath.Join(dir, "id")))))
	if err != nil {
		t.Fatal(err)
	}
	b := build([]ent{{path: ".git/hooks/post-checkout", mode: 0o100755, tweak: func(e []byte) []byte {
		copy(e[40:], id)
		return e
	}}})
	if check(b) == nil {
		t.Error("the forged index passes")
	}
	if err := os.WriteFile(filepath.Join(dir, ".git/index"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	git(t, dir, "git checkout . || git checkout-index -fa || true")
	if string(read(t, filepath.Join(dir, ".git/hooks/post-checkout"))) != "evil" {
		t.Error("git did not write the hook: the control of this test has failed")
	}
}

func TestPackedRefs(t *testing.T) {
	h := strings.Repeat("a", 40)
	for text, ok := range map[string]bool{
		"":                                  true,
		"# pack-refs with: peeled\n":        true,
		h + " refs/heads/main\n":            true,
		h + " refs/tags/v1\n^" + h + "\n":   true,
		h + " refs/replace/" + h + "\n":     false,
		h + " refs/Replace/" + h + "\n":     false,
		h + " refs/heads/../../config\n":    false,
		h + " HEAD\n":                       false,
		"nonsense\n":                        false,
		h + " refs//x\n":                    false,
		strings.Repeat("x", 3*maxPath) + "": false,
	} {
		if err := CheckPackedRefs(strings.NewReader(text), int64(len(text))); (err == nil) != ok {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

func git(t *testing.T, dir, script string) {
	t.Helper()
	c := exec.Command("bash", "-ec", script)
	c.Dir = dir
	c.Env = testenv.Environ("HOME="+dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

func read(t *testing.T, f string) []byte {
	t.Helper()
	b, err := os.ReadFile(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzCheck(f *testing.F) {
	f.Add(build([]ent{{path: "a", mode: file}, {path: "b/c", mode: link}}))
	f.Add(build([]ent{{path: ".git/config", mode: file}}))
	v4 := build([]ent{{path: "a", mode: file}})
	v4[7] = 4
	f.Add(v4)
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = CheckFormat(bytes.NewReader(b), int64(len(b)), SHA256)
		if len(b) < 20 || check(b) != nil {
			return
		}
		// Another reader of the format finds nothing bad in what passes.
		sum := sha1.Sum(b[:len(b)-20])
		var idx index.Index
		if index.NewDecoder(bytes.NewReader(append(b[:len(b)-20:len(b)-20], sum[:]...))).Decode(&idx) != nil {
			return
		}
		for _, e := range idx.Entries {
			if e.Name != "" && badPath(e.Name) != "" {
				t.Errorf("the entry %q passes", e.Name)
			}
		}
	})
}

func FuzzPackedRefs(f *testing.F) {
	f.Add(fmt.Sprintf("%040d refs/replace/x\n", 1))
	f.Add("# pack-refs\n")
	f.Fuzz(func(t *testing.T, s string) {
		if CheckPackedRefs(strings.NewReader(s), int64(len(s))) == nil && strings.Contains(s, " refs/replace/") && !strings.Contains(s, "#") && !strings.Contains(s, "^") && strings.Count(s, " ") == 1 {
			t.Errorf("passes: %q", s)
		}
	})
}
