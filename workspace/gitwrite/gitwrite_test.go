package gitwrite

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
	"github.com/belljar-dev/belljar/workspace/internal/ignore"
)

// repo is a repository for git and for us.
type repo struct {
	*testing.T
	dir string
}

func newRepo(t *testing.T, script string) *repo {
	testenv.Need(t, "git")
	r := &repo{t, t.TempDir()}
	r.sh("git init -q -b main . && git config user.name u && git config user.email u@example.com\n" + script)
	return r
}

func (r *repo) sh(script string) string {
	r.Helper()
	c := exec.Command("sh", "-ec", script)
	c.Dir = r.dir
	c.Env = testenv.Environ("HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1")
	out, err := c.CombinedOutput()
	if err != nil {
		r.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// commit puts the files into the work tree, as apply would have, and commits them.
func (r *repo) commit(files ...File) (Result, error) {
	r.Helper()
	for _, f := range files {
		name := filepath.Join(r.dir, f.Path)
		_ = os.RemoveAll(name)
		if f.Mode == 0 {
			continue
		}
		if st, err := os.Lstat(filepath.Dir(name)); err == nil && !st.IsDir() {
			_ = os.Remove(filepath.Dir(name))
		}
		_ = os.MkdirAll(filepath.Dir(name), 0o755)
		var err error
		if f.Mode == ModeLink {
			err = os.Symlink(string(f.Data), name)
		} else {
			err = os.WriteFile(name, f.Data, os.FileMode(f.Mode&0o777))
		}
		if err != nil {
			r.Fatal(err)
		}
	}
	return Commit(Options{Dir: r.dir, Files: files, Message: "subject\n\nCo-authored-by: agent <agent@example.com>", Name: "User", Email: "user@example.com", Time: time.Now()})
}

func (r *repo) want(what, got, want string) {
	r.Helper()
	if got != want {
		r.Errorf("%s:\n%s\nwant:\n%s", what, got, want)
	}
}

const seed = `mkdir -p d/e; echo 1 > a; echo 1 > d/b; echo 1 > d/e/c; echo 1 > 'z z'; echo '*.log' > .gitignore; git add .; git commit -qm one`

func TestCommit(t *testing.T) {
	for name, script := range map[string]string{"loose": seed, "packed": seed + "\ngit gc -q\ngit pack-refs --all", "version 4": seed + "\ngit update-index --index-version 4"} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t, script+"\necho mine >> 'z z'")
			res, err := r.commit(File{"a", ModeExec, []byte("2\n")}, File{"d/e", 0, nil}, File{"d/b", 0, nil}, File{"d/b/in", ModeFile, []byte("3\n")},
				File{"new/x", ModeFile, []byte("4\n")}, File{"new/l", ModeLink, []byte("x")}, File{"x.log", ModeFile, []byte("5\n")}, File{"new/.GIT/x", ModeFile, nil})
			if err != nil {
				t.Fatal(err)
			}
			r.want("skipped", strings.Join(res.Paths(), " ")+": "+res.Skipped["x.log"], "new/.GIT/x x.log: git ignores it")
			r.want("log", r.sh("git log --format='%an <%ae>%n%B' -1"), "User <user@example.com>\nsubject\n\nCo-authored-by: agent <agent@example.com>\n\n")
			r.want("files", r.sh("git ls-tree -r HEAD | sed 's/ blob .*\t/ /'"), "100644 .gitignore\n100755 a\n100644 d/b/in\n120000 new/l\n100644 new/x\n100644 z z\n")
			r.want("status", r.sh("git status --porcelain"), " M \"z z\"\n?? new/.GIT/\n")
			r.sh("git fsck --strict && git reflog -1 | grep subject && git diff --cached --exit-code && test ! -e .git/index.lock && git log -2 --format=%p | head -1 | grep .")
			r.want("branch", res.Branch+" "+res.ID+"\n", "main "+r.sh("git rev-parse HEAD"))
		})
	}
}

func TestFirstCommit(t *testing.T) {
	r := newRepo(t, "")
	if _, err := r.commit(File{"a/b", ModeFile, []byte("1")}); err != nil {
		t.Fatal(err)
	}
	r.want("files", r.sh("git ls-files; git status --porcelain; git fsck --strict"), "a/b\n")
}

func TestNothingToCommit(t *testing.T) {
	r := newRepo(t, seed)
	res, err := r.commit(File{"a", ModeFile, []byte("1\n")})
	if err != nil || res.ID != "" {
		t.Errorf("%+v, %v", res, err)
	}
	r.want("log", r.sh("git rev-list --count HEAD"), "1\n")
}

func TestStagedIsLeft(t *testing.T) {
	r := newRepo(t, seed+"\necho staged > a; git add a; git rm -q --cached d/b")
	res, err := r.commit(File{"a", ModeFile, []byte("2\n")}, File{"d/b", ModeFile, []byte("2\n")}, File{"d/e/c", ModeFile, []byte("2\n")})
	if err != nil {
		t.Fatal(err)
	}
	r.want("skipped", strings.Join(res.Paths(), " "), "a d/b")
	r.want("staged", r.sh("git show :a; git diff --cached --name-only"), "staged\na\nd/b\n")
}

// What the index has about a folder, that the last commit has not, is never lost or
// committed with what was applied.
func TestStagedAroundIsLeft(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		file   File
	}{
		"skipped below":       {"git update-index --skip-worktree d/e/c; rm d/e/c", File{"d", 0, nil}},
		"skipped":             {"git update-index --skip-worktree a; rm a", File{"a", ModeFile, []byte("2\n")}},
		"added below":         {"echo x > d/e/new; git add d/e/new", File{"d", 0, nil}},
		"changed below":       {"echo x > d/b; git add d/b", File{"d", 0, nil}},
		"removed below":       {"git rm -q --cached d/b", File{"d", 0, nil}},
		"below a file":        {"echo x > d/e/new; git add d/e/new", File{"d", ModeFile, []byte("2\n")}},
		"only staged, folder": {"mkdir s; echo x > s/x; git add s", File{"s", 0, nil}},
		"only staged, file":   {"mkdir s; echo x > s/x; git add s", File{"s", ModeFile, []byte("2\n")}},
		"file above":          {"echo x > s; git add s", File{"s/new", ModeFile, []byte("2\n")}},
		"submodule above":     {"git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),s", File{"s/new", ModeFile, []byte("2\n")}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t, seed+"\n"+c.script)
			before := r.sh("git ls-files -s -v")
			res, err := r.commit(c.file)
			if err != nil || res.ID != "" || res.Skipped[c.file.Path] == "" {
				t.Errorf("%+v, %v", res, err)
			}
			r.want("index", r.sh("git ls-files -s -v"), before)
			res, err = r.commit(c.file, File{"other", ModeFile, []byte("2\n")})
			if err != nil || res.ID == "" {
				t.Errorf("%+v, %v", res, err)
			}
			r.want("committed", r.sh("git show --name-only --format="), "other\n")
			r.want("index", r.sh("git ls-files -s -v | grep -v other"), before)
		})
	}
}

// What git would do otherwise is refused, and nothing is left behind.
func TestRefused(t *testing.T) {
	for name, script := range map[string]string{
		"detached":    "git checkout -q --detach",
		"merge":       "git rev-parse HEAD > .git/MERGE_HEAD",
		"locked":      "touch .git/index.lock",
		"branch lock": "touch .git/refs/heads/main.lock",
		"linked":      "mv .git ../was-$$; echo gitdir: ../was-$$ > .git",
		"no git":      "rm -rf .git",
		"split":       "git update-index --split-index",
		"assumed":     "git update-index --assume-unchanged 'z z'",
		"linked refs": "mkdir ../out-$$; mv .git/refs ../out-$$/; ln -s $PWD/../out-$$/refs .git/refs",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t, seed+"\n"+script)
			before := r.sh("find . -path ./.git/objects -prune -o -type f -print | sort")
			if res, err := r.commit(File{"a", ModeFile, []byte("2\n")}); err == nil {
				t.Errorf("committed: %+v", res)
			}
			r.want("files", r.sh("find . -path ./.git/objects -prune -o -type f -print | sort"), before)
		})
	}
}

func TestConvertedIsLeftOut(t *testing.T) {
	r := newRepo(t, seed+"\necho '*.bin filter=lfs' > .gitattributes")
	res, err := r.commit(File{"a", ModeFile, []byte("2\n")})
	if err != nil || res.ID != "" || !strings.Contains(res.Skipped["a"], "filter") {
		t.Errorf("%+v, %v", res, err)
	}
	r = newRepo(t, seed+"\ngit config core.autocrlf true")
	res, err = r.commit(File{"a", ModeFile, []byte("2\r\n")})
	if err != nil || res.ID != "" || res.Skipped["a"] == "" {
		t.Errorf("%+v, %v", res, err)
	}
}

// No hook, filter or program of the repository runs.
func TestNothingRuns(t *testing.T) {
	r := newRepo(t, seed+`
for h in pre-commit post-commit prepare-commit-msg commit-msg reference-transaction post-index-change; do
  printf '#!/bin/sh\ntouch "%s/ran"\n' "$PWD" > .git/hooks/$h; chmod +x .git/hooks/$h; done
git config core.fsmonitor "touch $PWD/ran"; git config commit.gpgsign true; git config gpg.program "touch $PWD/ran"`)
	_ = os.Remove(filepath.Join(r.dir, "ran"))
	if _, err := r.commit(File{"a", ModeFile, []byte("2\n")}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(r.dir, "ran")); err == nil {
		t.Error("something of the repository ran")
	}
}

func TestIgnoredAsGit(t *testing.T) {
	r := newRepo(t, "")
	lines := "*.o\n!keep.o\n/top\nbuild/\na/**/z\n**/deep\nx[0-9]\nx[!0-9]y\n# no\n\\#yes\nd/*.t\n" +
		"*.loc[[:digit:]]\nq[]x]\nu[!]x]\nr[\\]]\nv[a-\\d]\nw[[:upper:][:space:]_]\nt[x\nt[[:none:]x]\nm[a-]\ne\\ \nk[[:x]\nn[^a-c]\n"
	if err := os.WriteFile(filepath.Join(r.dir, ".gitignore"), []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
	ps := ignore.Parse("", lines)
	for _, p := range []string{"x.o", "keep.o", "s/x.o", "s/keep.o", "top", "s/top", "build/x", "s/build/x", "build", "a/z", "a/b/z", "a/b/c/z", "deep", "s/deep/x",
		"x1", "xa", "xay", "x1y", "#yes", "x.loc1", "x.loca", "s/x.loc2", "q]", "qx", "qy", "u]", "ux", "uy", "r]", "rx", "vb", "ve", "v-", "wA", "wa", "w_", "w ", "tx", "t[x", "ma", "m-", "mb",
		"e ", "e", "kx", "k[", "k:", "k]", "k[]", "kx]", "na", "nd", "d/a.t", "d/e/a.t", "s/d/a.t", "plain"} {
		git := strings.TrimSpace(r.sh("git check-ignore -q --no-index -- '"+p+"' && echo true || echo false")) == "true"
		if got := ignore.File(ps, p); got != git {
			t.Errorf("%s: %v, git says %v", p, got, git)
		}
	}
}
