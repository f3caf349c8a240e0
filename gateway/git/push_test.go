package git

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
)

var (
	zero = strings.Repeat("0", 40)
	one  = strings.Repeat("1", 40)
	two  = strings.Repeat("2", 40)
)

// head is the head of a push with these lines.
func head(lines ...string) string {
	var b []byte
	for _, l := range lines {
		b = appendPkt(b, l)
	}
	return string(b) + "0000"
}

func read(s string) (*Push, []byte, string, error) {
	r := bufio.NewReader(strings.NewReader(s))
	p, h, err := ReadPush(r, NewBudget(32<<20))
	rest, _ := io.ReadAll(r)
	return p, h, string(rest), err
}

func TestReadPush(t *testing.T) {
	caps := "\x00 report-status-v2 side-band-64k object-format=sha1 agent=git/2.39.5"
	for _, c := range []struct{ name, in, want string }{
		{"one", head(zero+" "+one+" refs/heads/a"+caps) + "PACK", ""},
		{"two", head(zero+" "+one+" refs/heads/a"+caps, one+" "+two+" refs/heads/b\n") + "PACK", ""},
		{"shallow", head("shallow "+one, zero+" "+one+" refs/heads/a"+caps) + "PACK", ""},
		{"upper-case length", strings.Replace(head(zero+" "+one+" refs/heads/a"+caps), "00a1", "00A1", 1), ""},
		{"sha256", head(zero + zero[:24] + " " + one + one[:24] + " refs/heads/a\x00object-format=sha256"), ""},
		{"probe", "0000", ""},
		{"probe with a pack", "0000PACK", "a pack without commands"},
		{"nothing", "", "the commands have no end"},
		{"no flush", head(zero + " " + one + " refs/heads/a")[:99], "malformed pkt-line"},
		{"length 1", "0001", "malformed pkt-line"},
		{"length 3", "0003", "malformed pkt-line"},
		{"too long", "ffffabc", "malformed pkt-line"},
		{"cut off", "0040abc", "malformed pkt-line"},
		{"no length", "zzzz", "malformed pkt-line"},
		{"certificate", head("push-cert\x00 report-status", "x"), "signed pushes"},
		{"certificate as capability", head(zero + " " + one + " refs/heads/a\x00push-cert=x"), "signed pushes"},
		{"options", head(zero + " " + one + " refs/heads/a\x00report-status push-options"), "push options"},
		{"unknown capability", head(zero + " " + one + " refs/heads/a\x00evil"), "unknown capability"},
		{"second capabilities", head(zero+" "+one+" refs/heads/a"+caps, zero+" "+one+" refs/heads/b\x00push-options"), "no name of a reference"},
		{"twice", head(zero+" "+one+" refs/heads/a"+caps, one+" "+two+" refs/heads/a"), "two commands for refs/heads/a"},
		{"upper-case id", head(zero + " " + strings.Repeat("A", 40) + " refs/heads/a"), "malformed command"},
		{"short id", head(zero + " " + one[1:] + " refs/heads/a"), "malformed command"},
		{"two blanks", head(zero + "  " + one + " refs/heads/a"), "malformed command"},
		{"v2", head("command=ls-refs"), "malformed command"},
		{"not in refs", head(zero + " " + one + " HEAD"), "no name of a reference"},
		{"dots", head(zero + " " + one + " refs/heads/agent/../main"), "no name of a reference"},
		{"empty part", head(zero + " " + one + " refs/heads//main"), "no name of a reference"},
		{"lock", head(zero + " " + one + " refs/heads/a.lock"), "no name of a reference"},
		{"control", head(zero + " " + one + " refs/heads/a\nb"), "no name of a reference"},
		{"blank", head(zero + " " + one + " refs/heads/a b"), "no name of a reference"},
		{"not UTF-8", head(zero + " " + one + " refs/heads/a\xff"), "no name of a reference"},
		{"shallow behind", head(zero+" "+one+" refs/heads/a"+caps, "shallow "+one), "malformed shallow"},
		{"large", head(strings.Fields(strings.Repeat("shallow-"+one+strings.Repeat("x", 60000)+" ", 20))...), "malformed"},
	} {
		p, h, rest, err := read(c.in)
		switch {
		case c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		case err == nil && (!strings.EqualFold(string(h)+rest, c.in)):
			t.Errorf("%s: %q and %q of %q", c.name, h, rest, c.in)
		}
		p.Close()
		if p.budget.left.Load() != 32<<20 {
			t.Errorf("%s: %d bytes are not given back", c.name, 32<<20-p.budget.left.Load())
		}
	}
	shallow := make([]string, 25000)
	for i := range shallow {
		shallow[i] = "shallow " + one
	}
	if _, _, _, err := read(head(shallow...)); err == nil || !strings.Contains(err.Error(), "larger than 1024 KiB") {
		t.Error(err)
	}
	if _, _, err := ReadPush(bufio.NewReader(strings.NewReader(head(shallow...))), NewBudget(100)); err == nil || !strings.Contains(err.Error(), "too many pushes") {
		t.Error(err)
	}
}

func TestJudge(t *testing.T) {
	patterns := []string{"refs/heads/agent/*", "refs/tags/agent/**"}
	for _, c := range []struct{ old, new, ref, want string }{
		{zero, one, "refs/heads/agent/x", ""},
		{one, two, "refs/heads/agent/x", ""},
		{zero, one, "refs/heads/main", "the policy allows refs/heads/agent/*"},
		{zero, one, "refs/heads/AGENT/x", "the policy allows"},
		{zero, one, "refs/heads/agent", "the policy allows"},
		{zero, one, "refs/heads/agent/x/y", "the policy allows"},
		{zero, one, "refs/heads/agentx", "the policy allows"},
		{zero, one, "refs/for/main", "the policy allows"},
		{zero, one, "refs/tags/v1", "the policy allows"},
		{zero, one, "refs/tags/agent/v/1", ""},
		{one, two, "refs/tags/agent/v1", "not moved"},
		{one, zero, "refs/heads/agent/x", "not deleted"},
		{zero, zero, "refs/heads/agent/x", "not deleted"},
	} {
		p, _, _, err := read(head(c.old+" "+c.new+" "+c.ref+"\x00report-status side-band-64k", zero+" "+one+" refs/heads/agent/other"))
		if err != nil {
			t.Fatal(err)
		}
		no := p.Judge(patterns)
		switch {
		case c.want == "" && no != nil:
			t.Errorf("%s: %v", c.ref, no)
		case c.want != "" && (len(no) != 1 || no[0].Ref != c.ref || !strings.Contains(no[0].Why, c.want)):
			t.Errorf("%s: %v, want %q", c.ref, no, c.want)
		}
		body, ok := p.Report(no, "belljar: words")
		if !ok || c.want != "" && (!strings.Contains(string(body), "ng "+c.ref+" belljar: ") || !strings.Contains(string(body), "ng refs/heads/agent/other belljar refused the push\n")) {
			t.Errorf("%q", body)
		}
	}
}

// A repository of real git, for packs.
type repository struct {
	t   *testing.T
	dir string
}

func newRepository(t *testing.T, format string) repository {
	t.Helper()
	testenv.Need(t, "git")
	r := repository{t, t.TempDir()}
	r.git("", "init", "-q", "-b", "main", "--object-format="+format)
	return r
}

func (r repository) git(in string, args ...string) string {
	r.t.Helper()
	c := exec.Command("git", append([]string{"-C", r.dir, "-c", "user.name=a", "-c", "user.email=a@b.test"}, args...)...)
	c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	c.Stdin = strings.NewReader(in)
	out, err := c.Output()
	if err != nil {
		r.t.Fatalf("git %q: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

func (r repository) commit(message string) string {
	r.git("", "commit", "-q", "--allow-empty", "-m", message)
	return r.git("", "rev-parse", "HEAD")
}

// pack is what git would send for new where the server has old.
func (r repository) pack(new string, old ...string) string {
	c := exec.Command("git", "-C", r.dir, "pack-objects", "--revs", "--stdout", "-q", "--thin", "--delta-base-offset")
	c.Stdin = strings.NewReader(new + "\n^" + strings.Join(old, "\n^") + "\n")
	out, err := c.Output()
	if err != nil {
		r.t.Fatal(err)
	}
	return string(out)
}

// update reads a push of one update, and says what was passed on and how it ended.
func update(t *testing.T, old, new, pack string) (string, error) {
	t.Helper()
	format := map[int]string{40: "sha1", 64: "sha256"}[len(old)]
	budget := NewBudget(32 << 20)
	br := bufio.NewReader(strings.NewReader(head(old+" "+new+" refs/heads/agent/x\x00report-status object-format="+format) + pack))
	p, _, err := ReadPush(br, budget)
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(p.Pack(t.Context(), br))
	if (p.Refused() != nil) != (err != nil) {
		t.Errorf("refused %v, error %v", p.Refused(), err)
	}
	p.Close()
	if budget.left.Load() != 32<<20 {
		t.Errorf("%d bytes are not given back", 32<<20-budget.left.Load())
	}
	return string(out), err
}

func TestFastForward(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		t.Run(format, func(t *testing.T) { testFastForward(t, newRepository(t, format)) })
	}
}

func testFastForward(t *testing.T, r repository) {
	root := r.commit("root")
	old := r.commit("old")
	for i := range 6 { // alike, so that some are told as differences
		r.commit(fmt.Sprintf("commit %d\n\n%s", i, strings.Repeat("the same long text of many words\n", 30)))
	}
	new := r.git("", "rev-parse", "HEAD")
	pack := r.pack(new, old)
	out, err := update(t, old, new, pack)
	if err != nil || out != pack {
		t.Errorf("a fast-forward: %v, %d bytes of %d", err, len(out), len(pack))
	}
	r.git("", "checkout", "-q", "-b", "side", root)
	side := r.commit("side")
	r.git("", "merge", "-q", "--no-ff", "-m", "merge", new)
	merge := r.git("", "rev-parse", "HEAD")
	big := strings.Repeat("many bytes\n", 50000)
	blob := r.git(big, "hash-object", "-w", "--stdin")
	tree := r.git("100644 blob "+blob+"\tbig\n", "mktree")
	withTree := r.git("m", "commit-tree", tree, "-p", merge)
	for _, c := range []struct {
		name, old, new string
		has            []string
		want           bool
	}{
		{"merge, the server has both", new, merge, []string{new}, true},
		{"merge onto the other side", side, merge, []string{side}, true},
		{"with a tree", side, withTree, []string{side}, true},
		{"force to a side", new, side, []string{new}, false},
		{"force back", new, old, []string{new}, false},
		{"the root instead", side, root, []string{side}, false},
		{"the server has everything", old, new, []string{new}, false},
		{"another old", strings.Repeat("7", len(old)), new, []string{old}, false},
	} {
		pack := r.pack(c.new, c.has...)
		out, err := update(t, c.old, c.new, pack)
		switch {
		case c.want && (err != nil || out != pack):
			t.Errorf("%s: %v", c.name, err)
		case !c.want && (err == nil || len(out) > len(pack)-len(c.old)/2 || !strings.HasPrefix(pack, out)):
			t.Errorf("%s: passed on %d of %d, %v", c.name, len(out), len(pack), err)
		}
	}
	for name, bad := range map[string]string{
		"cut off": pack[:len(pack)-1], "longer": pack + "x", "twice": pack + pack, "none": "", "no header": "x" + pack,
		"another content": strings.Replace(pack, pack[40:44], "\x00\x01\x02\x03", 1),
		"fewer objects":   pack[:11] + string(pack[11]-1) + pack[12:], "more objects": pack[:11] + string(pack[11]+1) + pack[12:],
	} {
		if out, err := update(t, old, new, bad); err == nil || strings.HasSuffix(out, pack[len(pack)-20:]) {
			t.Errorf("%s: passed on %d bytes, %v", name, len(out), err)
		}
	}
	listed := r.git("", "verify-pack", "-v", packFile(r, pack))
	if !strings.Contains(listed, "chain length = ") {
		t.Errorf("no commit of this pack is told as a difference:\n%s", listed)
	}
}

// packFile indexes a pack, so that git can be asked what is in it.
func packFile(r repository, pack string) string {
	name := r.dir + "/.git/objects/pack/pack-test.pack"
	if err := os.WriteFile(name, []byte(pack), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.git("", "index-pack", name)
	return name
}

func TestFetch(t *testing.T) {
	for _, c := range []struct {
		in   string
		v2   bool
		want string
	}{
		{head("command=ls-refs\n"), true, ""},
		{head("command=fetch"), true, ""},
		{head("want " + one + " multi_ack\n"), false, ""},
		{"0000", false, ""},
		{head("command=ls-refs"), false, "unknown command"},
		{head("command=push"), true, "unknown command"},
		{head("want " + one), true, "without a command"},
		{head(zero + " " + one + " refs/heads/a"), false, "not a fetch"},
		{"", false, "an empty fetch"},
		{"0001", true, "malformed"},
		{"ffff", true, "malformed"},
	} {
		r := bufio.NewReader(strings.NewReader(c.in))
		h, err := ReadFetch(r, c.v2)
		rest, _ := io.ReadAll(r)
		switch {
		case c.want == "" && (err != nil || string(h)+string(rest) != c.in):
			t.Errorf("%q: %v, %q", c.in, err, h)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q: %v, want %q", c.in, err, c.want)
		}
	}
	for query, want := range map[string]bool{
		"service=git-upload-pack": true, "service=git-receive-pack": true, "": false, "service=git-upload-archive": false,
		"service=git-upload-pack&service=git-receive-pack": false, "service=git%2Dreceive-pack": false, "x=1": false, "Service=git-upload-pack": false,
	} {
		if _, err := RefsFor(query); (err == nil) != want {
			t.Errorf("%s: %v", query, err)
		}
	}
	for body, want := range map[string]bool{
		`{"operation":"download","transfers":["basic"],"objects":[{"oid":"a","size":1}]}`: true,
		`{"operation":"upload"}`: false, `{"operation":"download","operation":"upload"}`: false, `{"operation":"download","Operation":"upload"}`: false,
		`{"OPERATION":"download"}`: false, `{}`: false, ``: false, `[]`: false, `{"operation":"download"} {"operation":"upload"}`: false, `{"operation":"download"`: false,
	} {
		if err := CheckLFS([]byte(body)); (err == nil) != want {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// FuzzReadPush: what is taken for a push is sent as it was judged.
func FuzzReadPush(f *testing.F) {
	f.Add([]byte(head(zero+" "+one+" refs/heads/a\x00report-status") + "PACK"))
	f.Add([]byte(head("shallow "+one, one+" "+two+" refs/heads/a\x00report-status side-band-64k")))
	f.Add([]byte("0000"))
	f.Add([]byte("0001000200030004"))
	f.Fuzz(func(t *testing.T, b []byte) {
		budget := NewBudget(4 << 20)
		r := bufio.NewReader(bytes.NewReader(b))
		p, h, err := ReadPush(r, budget)
		if err == nil {
			rest, _ := io.ReadAll(r)
			if !strings.EqualFold(string(h)+string(rest), string(b)) {
				t.Errorf("%q and %q of %q", h, rest, b)
			}
			again, h2, err := ReadPush(bufio.NewReader(bytes.NewReader(h)), NewBudget(4<<20))
			if err != nil || string(h) != string(h2) || fmt.Sprint(again.Commands) != fmt.Sprint(p.Commands) {
				t.Errorf("read again: %v", err)
			}
			for _, c := range p.Commands {
				if checkRef(c.Ref) != nil || !isID(c.New, p.idLen) || !isID(c.Old, p.idLen) {
					t.Errorf("%+v", c)
				}
			}
			p.Report(p.Judge([]string{"refs/heads/*"}))
		}
		p.Close()
		if budget.left.Load() != 4<<20 {
			t.Error("memory is not given back")
		}
	})
}

// FuzzPack: a pack is passed on as it is, or not to its end.
func FuzzPack(f *testing.F) {
	f.Add([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x00"))
	f.Add([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x01\x93\x0e\x78\x9c"))
	f.Fuzz(func(t *testing.T, b []byte) {
		budget := NewBudget(4 << 20)
		r := bufio.NewReader(strings.NewReader(head(one+" "+two+" refs/heads/a\x00report-status") + string(b)))
		p, _, err := ReadPush(r, budget)
		if err != nil {
			t.Fatal(err)
		}
		out, err := io.ReadAll(p.Pack(t.Context(), r))
		if !bytes.HasPrefix(b, out) || err == nil || p.Refused() == nil && err != io.ErrUnexpectedEOF {
			t.Errorf("%d of %d bytes, %v", len(out), len(b), err)
		}
		p.Close()
		if budget.left.Load() != 4<<20 {
			t.Error("memory is not given back")
		}
	})
}
