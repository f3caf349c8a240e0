package plan

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/testenv"
)

// gitDir makes the structure of a git directory.
func (w *world) gitDir(p string) string {
	w.t.Helper()
	w.file(p+"/HEAD", "ref: refs/heads/main\n")
	w.mkdir(p + "/objects")
	w.mkdir(p + "/refs")
	w.file(p+"/config", "[core]\n\tbare = false\n")
	return w.at(p)
}

// worktree makes the entry of a linked worktree whose .git file is at back.
func (w *world) worktree(common, name, back string) string {
	w.t.Helper()
	w.gitDir(common)
	p := common + "/worktrees/" + name
	w.file(p+"/HEAD", "ref: refs/heads/x\n")
	w.file(p+"/commondir", "../..\n")
	w.file(p+"/gitdir", back+"\n")
	return w.at(p)
}

type gitDirsCase struct {
	name  string
	build func(w *world)
	want  []string // below HOME
	note  string
}

// honestGitDirs are as git makes them.
func honestGitDirs() []gitDirsCase {
	return []gitDirsCase{
		{name: "plain", build: func(w *world) { w.gitDir("src/app/.git") }},
		{name: "none", build: func(w *world) {}},
		{
			name: "linked worktree",
			build: func(w *world) {
				w.file("src/app/.git", "gitdir: "+w.worktree("src/main/.git", "app", w.at("src/app/.git"))+"\n")
			},
			want: []string{"src/main/.git"},
		},
		{
			name: "linked worktree with relative paths",
			build: func(w *world) {
				w.worktree("src/main/.git", "app", "../../../../app/.git")
				w.file("src/app/.git", "gitdir: ../main/.git/worktrees/app\n")
			},
			want: []string{"src/main/.git"},
		},
		{
			name: "submodule",
			build: func(w *world) {
				w.gitDir("src/.git/modules/app")
				w.file("src/.git/modules/app/config", "[core]\n\tworktree = ../../../app\n")
				w.file("src/app/.git", "gitdir: ../.git/modules/app\n")
			},
			want: []string{"src/.git/modules/app"},
		},
		{
			name: "inside the project",
			build: func(w *world) {
				w.gitDir("src/app/dir.git")
				w.file("src/app/.git", "gitdir: dir.git\n")
			},
		},
		{
			name: "alternates",
			build: func(w *world) {
				w.gitDir("src/app/.git")
				w.file("src/app/.git/objects/info/alternates", w.gitDir("src/other/.git")+"/objects\n")
			},
			note: "git objects in",
		},
	}
}

// hostileGitDirs name what does not belong to the project.
func hostileGitDirs() []gitDirsCase {
	return []gitDirsCase{
		{
			name: "another repository of the user",
			build: func(w *world) {
				w.file("src/app/.git", "gitdir: "+w.gitDir("src/secret/.git")+"\n")
			},
			note: "does not say that it belongs",
		},
		{
			name: "another repository's worktree",
			build: func(w *world) {
				w.file("src/app/.git", "gitdir: "+w.worktree("src/secret/.git", "x", w.at("src/elsewhere/.git"))+"\n")
			},
			note: "worktree of another folder",
		},
		{
			name: "a worktree entry of the project's making with a foreign common directory",
			build: func(w *world) {
				w.gitDir("src/secret/.git")
				w.file("src/evil/HEAD", "x")
				w.file("src/evil/commondir", w.at("src/secret/.git")+"\n")
				w.file("src/evil/gitdir", w.at("src/app/.git")+"\n")
				w.file("src/app/.git", "gitdir: ../evil\n")
			},
			note: "is not a worktree of",
		},
		{
			name: "home", build: func(w *world) { w.file("src/app/.git", "gitdir: "+w.home+"\n") },
			note: "not a git directory",
		},
		{
			name: "root", build: func(w *world) { w.file("src/app/.git", "gitdir: /\n") },
			note: "not a git directory",
		},
		{
			name: "home dressed as a git directory",
			build: func(w *world) {
				w.gitDir(".")
				w.file("config", "[core]\n\tworktree = "+w.at("src/app")+"\n")
				w.file("src/app/.git", "gitdir: "+w.home+"\n")
			},
			note: "your home folder",
		},
		{
			name: "our state dressed as a git directory",
			build: func(w *world) {
				w.gitDir(".local/state/belljar/x")
				w.file(".local/state/belljar/x/config", "[core]\n\tworktree = "+w.at("src/app")+"\n")
				w.file("src/app/.git", "gitdir: "+w.at(".local/state/belljar/x")+"\n")
			},
			note: "belljar's own",
		},
		{
			name: "through a link",
			build: func(w *world) {
				w.gitDir("src/secret/.git")
				w.link("../secret/.git", "src/app/.git")
			},
			note: "does not say that it belongs",
		},
		{
			name: "endless", build: func(w *world) { w.file("src/app/.git", "gitdir: "+strings.Repeat("a", 1<<20)) },
			note: "too large",
		},
		{
			name: "control characters", build: func(w *world) { w.file("src/app/.git", "gitdir: ../x\x1b[2J\n") },
			note: "control characters",
		},
		{
			name: "two lines", build: func(w *world) { w.file("src/app/.git", "gitdir: ../x\nb\n") },
			note: "control characters",
		},
		{name: "empty", build: func(w *world) { w.file("src/app/.git", "") }, note: "names no git directory"},
		{name: "loop", build: func(w *world) { w.link(".git", "src/app/.git") }, note: "too many"},
	}
}

func TestGitDirs(t *testing.T) {
	for _, tt := range slices.Concat(honestGitDirs(), hostileGitDirs()) {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.build(w)
			f := w.gather()
			var got []string
			for _, g := range f.Workspace.GitDirs {
				rel, _ := filepath.Rel(w.home, g)
				got = append(got, rel)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("git directories %q, want %q; notes %q", got, tt.want, f.Notes)
			}
			if tt.note != "" && !strings.Contains(strings.Join(f.Notes, "\n"), tt.note) {
				t.Errorf("no note says %q: %q", tt.note, f.Notes)
			}
			if tt.note == "" && len(f.Notes) > 0 {
				t.Errorf("notes %q", f.Notes)
			}
			for _, n := range f.Notes {
				if !printable(n) {
					t.Errorf("note is not printable: %q", n)
				}
			}
		})
	}
}

// What real git makes is found.
func TestRealGit(t *testing.T) {
	testenv.Need(t, "git")
	w := newWorld(t)
	git := func(dir string, args ...string) {
		t.Helper()
		c := exec.Command("git", args...)
		c.Dir = dir
		c.Env = testenv.Environ("HOME="+w.home, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b",
			"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=protocol.file.allow",
			"GIT_CONFIG_VALUE_0=always")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	main := w.mkdir("repo")
	git(main, "init", "-q")
	git(main, "commit", "-q", "--allow-empty", "-m", "x")
	git(main, "worktree", "add", "-q", w.at("src/tree"))
	super := w.mkdir("super")
	git(super, "init", "-q")
	git(super, "submodule", "--quiet", "add", main, "mod")

	for dir, want := range map[string]string{"src/tree": "repo/.git", "super/mod": "super/.git/modules/mod", "repo": ""} {
		w.o.Dir = w.at(dir)
		f := w.gather()
		var got string
		if len(f.Workspace.GitDirs) > 0 {
			got, _ = filepath.Rel(w.home, f.Workspace.GitDirs[0])
		}
		if got != want || len(f.Notes) > 0 {
			t.Errorf("%s: git directory %q, want %q; notes %q", dir, got, want, f.Notes)
		}
	}
}

func TestGitUser(t *testing.T) {
	w := newWorld(t)
	w.file(".gitconfig", `
# comment
[user]
	name = "Ann \"the\" Dev" ; comment
	email = old@example.com
	signingkey = SECRET
[include]
	path = .gitconfig.more
[includeIf "gitdir:~/src/"]
	path = ~/.gitconfig.work
[includeIf "gitdir:~/other/"]
	path = ~/.gitconfig.other
[init] defaultBranch = trunk
[credential "https://x"]
	helper = !steal
`)
	w.file(".gitconfig.more", "[user]\nemail = more@example.com\n")
	w.file(".gitconfig.work", "[USER]\nEmail = work@exam\\\nple.com\n")
	w.file(".gitconfig.other", "[user]\nemail = other@example.com\n")
	got := w.gather().Git
	want := GitUser{Name: `Ann "the" Dev`, Email: "work@example.com", Branch: "trunk"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestGitUserIncludeLoop(t *testing.T) {
	w := newWorld(t)
	w.file(".gitconfig", "[user]\nname = a\n[include]\npath = ~/.gitconfig\n[include]\npath = "+w.at("src/app/evil")+"\n")
	w.file("src/app/evil", "[user]\nname = evil\n")
	if got := w.gather().Git.Name; got != "a" {
		t.Errorf("name %q", got)
	}
}

func FuzzGitConfig(f *testing.F) {
	for _, s := range []string{
		"[a \"b\\\"c\"] k = v", "[a]\nk = \"x;y\" # c\n\\", "[", "[a", "[]\n=", "[a]\nk\n", "[a]b=c\\\n\\\n", "[a \"", "[a]\nk=\"\\", "\x00",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, v := range parseGitConfig(b) {
			if v.section == "" || strings.ContainsRune(v.value, '\r') && !strings.ContainsRune(string(b), '\r') {
				t.Errorf("value %+v of %q", v, b)
			}
		}
	})
}

// TestGitHosts: real git reaches the hosts of the policy's git by https.
func TestGitHosts(t *testing.T) {
	testenv.Need(t, "git")
	f := loadFacts(t, "testdata/credentials.facts.json")
	w := wishes{limits: belljar.Limits{Memory: 1, CPUs: 1, Processes: 1, Disk: 1, Files: 1, Time: 1}, mode: belljar.ModeLive}
	w.network.Rules = []belljar.NetRule{
		{Host: "git.test", Ports: []uint16{443}, Git: &belljar.GitRule{Repo: "/acme/*"}},
		{Host: "git.test", Ports: []uint16{443}, Git: &belljar.GitRule{Repo: "/acme/widget", Push: []string{"refs/heads/x"}}},
	}
	p, err := build(w, f, fullCaps())
	if err != nil {
		t.Fatal(err)
	}
	config := ""
	for _, m := range p.Mounts {
		if m.Target == "/etc/gitconfig" {
			config = filepath.Join(t.TempDir(), "gitconfig")
			if err := os.WriteFile(config, []byte(m.Content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for url, want := range map[string]string{
		"git@git.test:acme/widget.git": "https://git.test/acme/widget.git", "ssh://git@git.test/acme/widget": "https://git.test/acme/widget",
		"git@other.test:acme/widget.git": "git@other.test:acme/widget.git",
	} {
		c := exec.Command("git", "ls-remote", "--get-url", url)
		c.Env = testenv.Environ("GIT_CONFIG_SYSTEM="+config, "GIT_CONFIG_GLOBAL=/dev/null")
		out, err := c.CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%s: %s %v, want %s", url, out, err, want)
		}
	}
}
