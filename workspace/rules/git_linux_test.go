package rules_test

import (
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/testenv"
	"github.com/belljar-dev/belljar/workspace/rules"
)

// model is a view reduced to its decisions: an operation is done on the host when
// the rules let it pass, else not at all.
type model struct {
	t      *testing.T
	dir    string
	mark   string
	rules  *rules.Rules
	r      *rand.Rand
	naive  bool // do everything: the control of the test
	log    []string
	passed int
}

func (m *model) p(rel string) string { return filepath.Join(m.dir, rel) }

func (m *model) entry(rel string) (rules.Entry, bool) {
	st, err := os.Lstat(m.p(rel))
	switch {
	case err != nil:
		return rules.Any, false
	case st.IsDir():
		return rules.Dir, true
	case st.Mode()&fs.ModeSymlink != 0:
		return rules.Link, true
	}
	return rules.File, true
}

// state is that of a directory, judged by structure too.
func (m *model) state(rel string) rules.State {
	if rel == "." || rel == "" {
		return m.shape(m.rules.Root(), "")
	}
	s, _ := m.state(filepath.Dir(rel)).Judge(filepath.Base(rel), rules.Dir)
	return m.shape(s, rel)
}

func (m *model) shape(s rules.State, rel string) rules.State {
	return s.Shape(func(n string) bool { _, ok := m.entry(filepath.Join(rel, n)); return ok })
}

// may judges the making or changing of rel as an entry of a type.
func (m *model) may(rel string, e rules.Entry) bool {
	if m.naive {
		return true
	}
	if _, ok := m.entry(rel); !ok {
		e |= rules.Fresh
	}
	_, v := m.state(filepath.Dir(rel)).Judge(filepath.Base(rel), e)
	return v.Kind == rules.Pass && !v.LockOnly
}

func (m *model) mayRemove(rel string, e rules.Entry) bool {
	return m.naive || m.state(filepath.Dir(rel)).Remove(filepath.Base(rel), e).Kind == rules.Pass
}

// mayRename also wants a directory to keep its meaning, and git's data to change
// by git's lock files only.
func (m *model) mayRename(from, to string, e rules.Entry) bool {
	if m.naive {
		return true
	}
	if !m.mayRemove(from, e) {
		return false
	}
	fresh := rules.Entry(0)
	te, exists := m.entry(to)
	if !exists {
		fresh = rules.Fresh
	} else if !m.mayRemove(to, te) && !m.state(filepath.Dir(to)).Replace(filepath.Base(from), filepath.Base(to)) {
		return false
	}
	parent := m.state(filepath.Dir(to))
	target, v := parent.Judge(filepath.Base(to), e|fresh)
	if v.Kind != rules.Pass {
		return false
	}
	if v.LockOnly && (filepath.Dir(from) != filepath.Dir(to) || !parent.Replace(filepath.Base(from), filepath.Base(to))) {
		return false
	}
	return e != rules.Dir || m.state(from) == target
}

// content makes a payload of every kind of file that git may obey.
func (m *model) content(rel string) string {
	evil := "touch " + m.mark
	switch strings.ToLower(strings.TrimSuffix(filepath.Base(rel), ".lock")) {
	case "head":
		return "ref: refs/heads/main\n"
	case "commondir", "alternates":
		return m.pick([]string{"..", "../a", "../b", "a", "../../a"}) + "\n"
	case ".git", "gitdir":
		return "gitdir: " + m.pick([]string{"a", "../a", "b", "../b", "a/b", "../bare.git"}) + "\n"
	case "attributes", ".gitattributes":
		return "* filter=evil diff=evil\n"
	case "config", "config.worktree", ".gitconfig":
		return fmt.Sprintf("[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tfsmonitor = %q\n\tworktree = %s\n\thooksPath = %s\n[diff]\n\texternal = %q\n[filter \"evil\"]\n\tclean = %q\n[diff \"evil\"]\n\ttextconv = %q\n[extensions]\n\tworktreeConfig = true\n",
			evil, m.pick([]string{"..", ".", "../.."}), m.dir+"/a", evil, evil, evil)
	}
	return "#!/bin/sh\n" + evil + "\n"
}

func (m *model) pick(l []string) string { return l[m.r.IntN(len(l))] }

var attackNames = []string{
	"HEAD", "HEAD.lock", "config", "config.lock", "objects", "refs", "hooks", ".git", "commondir", "gitdir", "info", "attributes", "a", "b",
	"modules", "worktrees", "config.worktree", "index.lock", "post-index-change", "fsmonitor-watchman", "alternates", ".gitattributes", "bare.git", "fix", "half", "main", "heads",
}

func (m *model) path() string {
	if m.r.IntN(2) == 0 { // a place that exists
		var dirs []string
		_ = filepath.WalkDir(m.dir, func(p string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() && !strings.Contains(p, "/.git/objects/") {
				rel, _ := filepath.Rel(m.dir, p)
				dirs = append(dirs, rel)
			}
			return nil
		})
		return filepath.Join(m.pick(dirs), m.pick(attackNames))
	}
	var l []string
	for range 1 + m.r.IntN(3) {
		l = append(l, m.pick(attackNames))
	}
	return filepath.Join(l...)
}

// step tries one random operation.
func (m *model) step() {
	p, q := m.path(), m.path()
	e, ok := m.entry(p)
	var err error
	what := ""
	switch k := m.r.IntN(10); {
	case k < 4 && m.may(p, rules.File) && (!ok || e == rules.File):
		what = "write " + p
		err = os.WriteFile(m.p(p), []byte(m.content(p)), 0o755)
	case k < 6 && !ok && m.may(p, rules.Dir):
		what = "mkdir " + p
		err = os.Mkdir(m.p(p), 0o755)
	case k < 8 && ok && m.mayRename(p, q, e):
		what = "rename " + p + " to " + q
		err = os.Rename(m.p(p), m.p(q))
	case k == 8 && !ok && m.may(p, rules.Link):
		target := m.pick([]string{"a", "../a", "b", "../b", ".git", "bare.git"})
		if rules.LinkLeaves(filepath.Dir(p), target) && !m.naive {
			return
		}
		what = "symlink " + p + " to " + target
		err = os.Symlink(target, m.p(p))
	case k == 9 && ok && m.mayRemove(p, e):
		what = "remove " + p
		err = os.Remove(m.p(p))
	}
	if what != "" && err == nil {
		m.log = append(m.log, what)
		m.passed++
	}
}

func run(t *testing.T, dir, script string) {
	t.Helper()
	c := exec.Command("bash", "-ec", script)
	c.Dir, c.Env = dir, gitEnv()
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func gitEnv() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_PAGER=cat", "LC_ALL=C",
		"GIT_TEMPLATE_DIR=", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_OPTIONAL_LOCKS=1",
	}
}

// setup is a host: a repository with a change, a bare one, and folders that lack
// something for being one.
const setup = `git init -q -b main .; echo 1 >tracked; mkdir a b; echo 2 >a/file; git add .; git commit -qm 1; echo 3 >tracked; echo 4 >a/file
	git init -q --bare -b main bare.git; mkdir fix; echo 'ref: refs/heads/main' >fix/HEAD
	mkdir -p half/objects half/refs; git init -q -b main sub; mkdir -p .git/modules; cp -r bare.git .git/modules/m; git worktree add -q ../wt$$ 2>/dev/null; cp -r ../wt$$ wt; rm -r ../wt$$`

// newTemplate makes the host that every sequence starts from.
func newTemplate(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "p")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, dir, setup)
	return dir
}

func newModel(t *testing.T, template string, seed uint64, naive bool) *model {
	t.Helper()
	base := t.TempDir()
	m := &model{t: t, dir: filepath.Join(base, "p"), mark: filepath.Join(base, "executed"), r: rand.New(rand.NewPCG(seed, 7)), naive: naive}
	var err error
	if m.rules, err = rules.New(rules.Options{Mode: belljar.ModeLive}); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(m.dir, os.DirFS(template)); err != nil {
		t.Fatal(err)
	}
	return m
}

// attack plays one random sequence and then uses git in every folder, as a user might.
func attack(t *testing.T, template string, seed uint64, naive bool) (m *model, executed bool) {
	t.Helper()
	m = newModel(t, template, seed, naive)
	for range 150 {
		m.step()
	}
	if d := m.useGit(); d != "" {
		if !naive {
			t.Errorf("seed %d: git executed the payload in %s after:\n%s", seed, d, strings.Join(m.log, "\n"))
		}
		return m, true
	}
	return m, false
}

// useGit uses git as a user might, in every folder from which git finds another
// directory of its own than from the folder above, and returns where it executed
// the payload.
func (m *model) useGit() string {
	dirs := []string{m.dir, m.p("a")}
	_ = filepath.WalkDir(m.dir, func(p string, e fs.DirEntry, err error) error {
		if n := filepath.Base(p); err == nil && p != m.dir && (n == ".git" || n == "HEAD") {
			dirs = append(dirs, filepath.Dir(p))
		}
		return nil
	})
	slices.Sort(dirs)
	for _, d := range slices.Compact(dirs) {
		for _, args := range [][]string{{"status"}, {"diff"}} {
			c := exec.Command("git", args...)
			c.Dir, c.Env = d, gitEnv()
			_ = c.Run() // whether it succeeds does not matter
			if _, err := os.Stat(m.mark); err == nil {
				return d
			}
		}
	}
	return ""
}

var sequences = flag.Int("sequences", 4, "random sequences that the attack on git plays")

// Whatever passes to the host, git there executes nothing of it.
func TestGitExecutesNothingThatPassed(t *testing.T) {
	testenv.Need(t, "git")
	template := newTemplate(t)
	n := *sequences
	if testing.Short() {
		n = 3
	} else if os.Getenv("BELLJAR_SOAK") != "" {
		n *= 10
	}
	passed := 0
	for seed := range uint64(n) {
		m, _ := attack(t, template, seed, false)
		passed += m.passed
	}
	if passed < 10*n {
		t.Errorf("only %d operations passed in %d sequences: the test tests nothing", passed, n)
	}
	for seed := range uint64(20) {
		if _, hit := attack(t, template, seed, true); hit {
			return
		}
	}
	t.Error("without rules git executed nothing either: the control of this test has failed")
}

// The named attacks, each with its control: without rules git executes the payload.
func TestNamedAttacks(t *testing.T) {
	testenv.Need(t, "git")
	template := newTemplate(t)
	for name, steps := range map[string][]string{
		"bare look-alike":      {"mkdir evil", "mkdir evil/objects", "mkdir evil/refs", "write evil/config", "write evil/HEAD"},
		"HEAD there already":   {"write fix/config", "mkdir fix/objects", "mkdir fix/refs"},
		"config first":         {"write half/config", "write half/HEAD"},
		"HEAD by rename":       {"mkdir evil", "mkdir evil/objects", "mkdir evil/refs", "write evil/config", "write evil/x", "content evil/x ref: refs/heads/main", "rename evil/x evil/HEAD"},
		"HEAD and commondir":   {"mkdir evil", "write evil/HEAD", "write evil/commondir", "content evil/commondir ../half", "write half/config"},
		"git file":             {"mkdir x", "mkdir x/e", "mkdir x/e/objects", "mkdir x/e/refs", "write x/e/config", "rename fix/HEAD x/e/HEAD", "write x/.git", "content x/.git gitdir: e"},
		"git link":             {"mkdir x", "mkdir e2", "mkdir e2/objects", "mkdir e2/refs", "write e2/config", "rename fix/HEAD e2/HEAD", "symlink x/.git ../e2"},
		"config":               {"write .git/config"},
		"nested config":        {"write sub/.git/config"},
		"moved repository":     {"rename .git old", "write old/config"},
		"replaced repository":  {"rename sub/.git sub/x", "mkdir sub/.git", "mkdir sub/.git/objects", "mkdir sub/.git/refs", "write sub/.git/HEAD", "write sub/.git/config"},
		"commondir":            {"mkdir c", "mkdir c/objects", "mkdir c/refs", "write c/config", "write .git/commondir", "content .git/commondir ../c"},
		"bare configured":      {"write bare.git/config"},
		"module configured":    {"write .git/modules/m/config"},
		"include by rename":    {"write c", "content c [core]\n\tfsmonitor = touch MARK", "rename c .git/config"},
		"attributes and link":  {"write .gitattributes", "write .git/config"},
		"git dir moved into":   {"mkdir d", "mkdir d/objects", "mkdir d/refs", "write d/config", "mkdir y", "rename d y/.git", "write y/.git/HEAD"},
		"refs look-alike":      {"mkdir .git/refs/remotes", "mkdir .git/refs/remotes/o", "write .git/refs/remotes/o/HEAD", "mkdir .git/refs/remotes/o/objects", "mkdir .git/refs/remotes/o/refs", "write .git/refs/remotes/o/config"},
		"objects look-alike":   {"mkdir .git/objects/o", "write .git/objects/o/HEAD", "mkdir .git/objects/o/objects", "mkdir .git/objects/o/refs", "write .git/objects/o/config"},
		"head moved to config": {"rename fix/HEAD half/HEAD", "write half/config"},
	} {
		t.Run(name, func(t *testing.T) {
			if script(t, template, steps, false) {
				t.Error("git executed the payload")
			}
			if !script(t, template, steps, true) {
				t.Error("without rules git executed nothing: the control has failed")
			}
		})
	}
}

// script plays fixed steps and says whether git executed the payload.
func script(t *testing.T, template string, steps []string, naive bool) bool {
	t.Helper()
	m := newModel(t, template, 1, naive)
	for _, s := range steps {
		f := strings.SplitN(s, " ", 3)
		e, ok := m.entry(f[1])
		switch {
		case f[0] == "mkdir" && m.may(f[1], rules.Dir):
			_ = os.Mkdir(m.p(f[1]), 0o755)
		case f[0] == "write" && m.may(f[1], rules.File):
			_ = os.WriteFile(m.p(f[1]), []byte(strings.ReplaceAll(m.content(f[1]), "worktree = .\n", "worktree = ..\n")), 0o755)
		case f[0] == "content" && m.may(f[1], rules.File):
			_ = os.WriteFile(m.p(f[1]), []byte(strings.ReplaceAll(f[2], "MARK", m.mark)+"\n"), 0o755)
		case f[0] == "rename" && ok && m.mayRename(f[1], f[2], e):
			_ = os.Rename(m.p(f[1]), m.p(f[2]))
		case f[0] == "symlink" && m.may(f[1], rules.Link):
			_ = os.Symlink(f[2], m.p(f[1]))
		}
	}
	return m.useGit() != ""
}
