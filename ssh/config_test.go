package ssh

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
)

func block(t testing.TB, program string) string {
	t.Helper()
	b, err := Client{Program: program, KnownHosts: "/state/ssh/known_hosts"}.Block()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// someConfig is a configuration of random lines, with all kinds of ends of lines.
func someConfig(r *rand.Rand) []byte {
	lines := []string{
		"Host *", "Host a b", "  User me", "\tForwardAgent yes", "# comment", "", "Match all", "Include x", "garbage \xff\x00",
		"#" + blockBegin, " " + blockBegin, blockEnd + " ", "ProxyCommand nc %h %p",
	}
	var b bytes.Buffer
	for range r.IntN(20) {
		b.WriteString(lines[r.IntN(len(lines))])
		b.WriteString([]string{"\n", "\r\n", "\n\n", "\r"}[r.IntN(4)])
	}
	if r.IntN(2) == 0 {
		b.WriteString("no end")
	}
	return b.Bytes()
}

// TestEdit: whatever the configuration is, every other byte stays; twice is once; a new
// block takes the old one's place; and taking it out gives back what there was.
func TestEdit(t *testing.T) {
	one, two := block(t, "/usr/bin/belljar"), block(t, "/opt/other one/belljar")
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		old := someConfig(r)
		with, err := Edit(old, one)
		if err != nil || !bytes.HasPrefix(with, []byte(one)) || !bytes.HasSuffix(with, old) || len(with) != len(one)+len(old) {
			t.Fatalf("%q: %q %v", old, with, err)
		}
		// Moved by its user: lines before and behind.
		before := append(someConfig(r), '\n')
		moved := append(bytes.Clone(before), with...)
		again, err := Edit(moved, two)
		if want := string(before) + two + string(old); err != nil || string(again) != want {
			t.Fatalf("%q: %q %v", moved, again, err)
		}
		if twice, err := Edit(again, two); err != nil || !bytes.Equal(twice, again) {
			t.Fatalf("%q: %v", twice, err)
		}
		if back, err := Edit(again, ""); err != nil || string(back) != string(before)+string(old) {
			t.Fatalf("%q %v", back, err)
		}
	}
}

// FuzzEdit: with any bytes, an edit either is refused or can be taken back.
func FuzzEdit(f *testing.F) {
	f.Add([]byte("Host *\r\n"))
	f.Add([]byte(blockBegin + "\n" + blockEnd))
	f.Add([]byte(blockEnd + "\n" + blockBegin + "\n"))
	f.Fuzz(func(t *testing.T, old []byte) {
		one := block(t, "/usr/bin/belljar")
		with, err := Edit(old, one)
		if err != nil {
			return
		}
		if twice, err := Edit(with, one); err != nil || !bytes.Equal(twice, with) {
			t.Fatalf("twice: %q %v", twice, err)
		}
		without, err := Edit(with, "")
		if err != nil {
			t.Fatal(err)
		}
		if want, err := Edit(old, ""); err != nil || !bytes.Equal(without, want) {
			t.Fatalf("%q, want %q: %v", without, want, err)
		}
	})
}

// TestEditRefused: a block that is not whole is left to its user.
func TestEditRefused(t *testing.T) {
	for _, s := range []string{
		blockBegin + "\nHost x\n", "a\n" + blockEnd + "\n", blockBegin + "\n" + blockBegin + "\n" + blockEnd + "\n",
		blockBegin + "\n" + blockEnd + "\n" + blockEnd + "\n", blockBegin + "\n" + blockEnd + "\n" + blockBegin + "\n" + blockEnd + "\n",
	} {
		if b, err := Edit([]byte(s), ""); err == nil {
			t.Errorf("%q became %q", s, b)
		}
	}
}

// TestRewrite: links stay links, the mode is 0600, no litter, and nothing is written for
// nothing.
func TestRewrite(t *testing.T) {
	one := block(t, "/usr/bin/belljar")
	home, dots := t.TempDir(), t.TempDir()
	path := filepath.Join(home, ".ssh", "config")
	if changed, err := Rewrite(path, ""); changed || err != nil {
		t.Fatalf("nothing to remove: %v %v", changed, err)
	}
	if _, err := os.Lstat(filepath.Dir(path)); err == nil {
		t.Error("a folder was made for nothing")
	}
	if changed, err := Rewrite(path, one); !changed || err != nil {
		t.Fatalf("a new one: %v %v", changed, err)
	}
	if st, err := os.Stat(filepath.Dir(path)); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", st.Mode(), err)
	}
	real := filepath.Join(dots, "ssh-config")
	if err := os.WriteFile(real, []byte("Host a\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	middle := filepath.Join(dots, "middle")
	if err := os.Symlink("ssh-config", middle); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(middle, path); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false} {
		if changed, err := Rewrite(path, one); changed != want || err != nil {
			t.Fatalf("%d: %v %v", i, changed, err)
		}
		b, err := os.ReadFile(real)
		st, _ := os.Lstat(real)
		if err != nil || string(b) != one+"Host a\n" || st.Mode() != 0o600 {
			t.Errorf("%q %v %v", b, st.Mode(), err)
		}
		if to, err := os.Readlink(path); err != nil || to != middle {
			t.Errorf("the link leads to %q %v", to, err)
		}
	}
	if changed, err := Rewrite(path, ""); !changed || err != nil {
		t.Fatal(changed, err)
	}
	if b, err := os.ReadFile(real); err != nil || string(b) != "Host a\n" {
		t.Errorf("%q %v", b, err)
	}
	for _, dir := range []string{filepath.Dir(path), dots} {
		l, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range l {
			if strings.HasPrefix(e.Name(), ".belljar") {
				t.Errorf("litter: %s", e.Name())
			}
		}
	}
	if err := os.Symlink("loop", filepath.Join(home, "loop")); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{filepath.Join(home, "loop"), home} {
		if _, err := Rewrite(bad, one); err == nil {
			t.Errorf("%s was written", bad)
		}
	}
}

// TestBlockPaths: paths that the configuration cannot carry are refused.
func TestBlockPaths(t *testing.T) {
	for _, c := range []Client{
		{"belljar", "/k"}, {"/bin/bell\njar", "/k"}, {"/bin/belljar", "k"}, {"/bin/belljar", "/a\"b"},
		{"/bin/belljar", "/a\\b"}, {"/bin/belljar", "/a${HOME}"}, {"/bin/belljar", "/a\nb"},
	} {
		if b, err := c.Block(); err == nil {
			t.Errorf("%+v: %s", c, b)
		}
	}
}

// TestBlockRead: OpenSSH reads the block as it is meant, and what follows as before.
func TestBlockRead(t *testing.T) {
	testenv.Need(t, "ssh")
	b, err := Client{Program: "/opt/it's 100%/belljar", KnownHosts: "/state dir/100%/known_hosts"}.Block()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(b+"Compression yes\nUser global\nForwardAgent yes\n\nHost *\n  ProxyCommand false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	read := func(host string) string {
		out, err := exec.Command("ssh", "-F", path, "-G", host).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return "\n" + string(out)
	}
	box := read("box.belljar")
	for _, want := range []string{
		"\nproxycommand '/opt/it'\\''s 100%%/belljar' ssh --stdio '%n'\n", "\nuser belljar\n", "\ncompression yes\n",
		"\nstricthostkeychecking true\n", "\nforwardagent no\n", "\npubkeyauthentication false\n",
	} {
		if !strings.Contains(box, want) {
			t.Errorf("%q is not in %s", want, box)
		}
	}
	if !strings.Contains(box, "known_hosts") || !strings.Contains(box, "/state dir/") {
		t.Errorf("%s", box)
	}
	// What ssh itself does not refuse as a name, the block does not take.
	if out, err := exec.Command("ssh", "-F", path, "-G", "it's.belljar").CombinedOutput(); err == nil && strings.Contains(string(out), "--stdio") {
		t.Errorf("a quote in a name reaches the shell: %s", out)
	}
	for _, host := range []string{"elsewhere.example", "belljar"} {
		if other := read(host); strings.Contains(other, "--stdio") || !strings.Contains(other, "\nuser global\n") || !strings.Contains(other, "\nforwardagent yes\n") {
			t.Errorf("%s: %s", host, other)
		}
	}
}

// TestHostKey: it is made once, kept, and refused when others may read it.
func TestHostKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ssh")
	type made struct {
		key string
		err error
	}
	got := make(chan made)
	for range 8 {
		go func() {
			k, err := HostKey(dir)
			if err != nil {
				got <- made{"", err}
				return
			}
			got <- made{string(k.PublicKey().Marshal()), nil}
		}()
	}
	first := <-got
	for range 7 {
		if m := <-got; m.err != nil || m.key != first.key {
			t.Fatalf("%v, another key: %v", m.err, m.key != first.key)
		}
	}
	for _, p := range []string{keyFile, knownHostsFile} {
		if st, err := os.Stat(filepath.Join(dir, p)); err != nil || st.Mode() != 0o600 {
			t.Errorf("%s: %v %v", p, st.Mode(), err)
		}
	}
	if l, _ := os.ReadDir(dir); len(l) != 2 {
		t.Errorf("litter: %v", l)
	}
	if err := os.Chmod(filepath.Join(dir, keyFile), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := HostKey(dir); err == nil {
		t.Error("a key that others may read was taken")
	}
	if err := os.Remove(filepath.Join(dir, keyFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, keyFile), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := HostKey(dir); err == nil {
		t.Error("garbage was taken")
	}
}
