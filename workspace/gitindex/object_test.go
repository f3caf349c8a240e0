package gitindex

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
)

func loose(text string) (name string, file []byte) {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	z.Write([]byte(text))
	z.Close()
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:]), b.Bytes()
}

func TestCheckLoose(t *testing.T) {
	name, good := loose("blob 5\x00hello")
	if err := CheckLoose(name, bytes.NewReader(good)); err != nil {
		t.Error(err)
	}
	for what, text := range map[string]string{
		"longer": "blob 4\x00hello", "shorter": "blob 6\x00hello", "type": "blub 5\x00hello", "size": "blob 05\x00hello", "negative": "blob -1\x00", "no header": "hello",
		"huge": "blob 99999999999\x00hello", "long header": "blob 5" + strings.Repeat(" ", 40) + "\x00hello", "empty": "",
	} {
		n, b := loose(text)
		if err := CheckLoose(n, bytes.NewReader(b)); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	other, _ := loose("blob 5\x00hallo")
	damaged := bytes.Clone(good)
	damaged[len(damaged)-1] ^= 1
	for what, c := range map[string]struct {
		name string
		file []byte
	}{
		"other name": {other, good}, "upper case": {strings.ToUpper(name), good}, "short name": {name[:38], good}, "cut": {name, good[:len(good)-5]},
		"behind it": {name, append(bytes.Clone(good), 'x')}, "checksum": {name, damaged}, "not packed": {name, []byte("blob 5\x00hello")}, "nothing": {name, nil},
	} {
		if err := CheckLoose(c.name, bytes.NewReader(c.file)); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

// TestCheckWhatGitMakes reads objects and packs of git in both formats, and none of
// them with one byte changed.
func TestCheckWhatGitMakes(t *testing.T) {
	testenv.Need(t, "git")
	for _, format := range []string{"sha1", "sha256"} {
		dir := t.TempDir()
		c := exec.Command("sh", "-ec", `git init -q --object-format=`+format+` .; for i in 1 2 3; do echo $i > f; git add f; git -c user.name=x -c user.email=x@x commit -qm $i; done; git tag -a -m t t; git repack -aq`)
		c.Dir, c.Env = dir, testenv.Environ("HOME="+dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=x@x")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		found, err := filepath.Glob(dir + "/.git/objects/*/*")
		if err != nil || len(found) < 10 {
			t.Fatalf("%v %v", found, err)
		}
		for _, p := range found {
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			check := checker(p)
			if check == nil {
				continue
			}
			if err := check(b); err != nil {
				t.Errorf("%s: %v", p, err)
			}
			for i := 0; i < len(b); i += max(len(b)/50, 1) {
				bad := bytes.Clone(b)
				bad[i] ^= 0x10
				if check(bad) == nil && !sameObject(b, bad) {
					t.Errorf("%s: byte %d changed, accepted", p, i)
				}
			}
			if check(b[:len(b)/2]) == nil {
				t.Errorf("%s: half of it was accepted", p)
			}
		}
	}
}

// sameObject says whether two loose objects differ in how they are packed only.
func sameObject(a, b []byte) bool {
	text := func(b []byte) string {
		z, err := zlib.NewReader(bytes.NewReader(b))
		if err != nil {
			return fmt.Sprint(err)
		}
		var out bytes.Buffer
		_, err = out.ReadFrom(z)
		return fmt.Sprint(out.String(), err)
	}
	return text(a) == text(b)
}

func checker(p string) func(b []byte) error {
	base := filepath.Base(p)
	hash, ext, _ := strings.Cut(strings.TrimPrefix(base, "pack-"), ".")
	f, _ := FormatOfName(hash)
	switch {
	case strings.Contains(p, "/objects/info/"):
		return nil
	case ext == "pack":
		return func(b []byte) error { _, _, err := CheckPack(bytes.NewReader(b), int64(len(b)), f); return err }
	case ext == "idx":
		return func(b []byte) error {
			_, _, err := CheckPackIndex(bytes.NewReader(b), int64(len(b)), f)
			return err
		}
	case ext == "":
		return func(b []byte) error { return CheckLoose(filepath.Base(filepath.Dir(p))+base, bytes.NewReader(b)) }
	}
	return nil
}

func FuzzCheckObject(f *testing.F) {
	name, good := loose("blob 5\x00hello")
	f.Add(name, good)
	f.Add(strings.Repeat("0", 64), []byte("PACK\x00\x00\x00\x02\x00\x00\x00\x00"))
	f.Add(strings.Repeat("0", 40), append([]byte("\xfftOc\x00\x00\x00\x02"), make([]byte, 1100)...))
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		format, _ := FormatOfName(name)
		if CheckLoose(name, bytes.NewReader(b)) == nil && format == SHA1 {
			z, err := zlib.NewReader(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			h := sha1.New()
			var out bytes.Buffer
			if _, err := out.ReadFrom(z); err != nil {
				t.Fatal(err)
			}
			h.Write(out.Bytes())
			if hex.EncodeToString(h.Sum(nil)) != name {
				t.Fatal("accepted under another name")
			}
		}
		for _, format := range []Format{SHA1, SHA256} {
			_, _, _ = CheckPack(bytes.NewReader(b), int64(len(b)), format)
			_, _, _ = CheckPackIndex(bytes.NewReader(b), int64(len(b)), format)
		}
		_ = CheckLFS(name, bytes.NewReader(b))
	})
}
