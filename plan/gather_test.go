package plan

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// A world is a fake home folder below a temporary folder, with a project in it.
type world struct {
	t    *testing.T
	home string
	o    GatherOptions
}

func newWorld(t *testing.T) *world {
	t.Helper()
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, home: filepath.Join(top, "home")}
	w.mkdir("src/app")
	w.o = GatherOptions{
		Command: []string{"/bin/sh"}, Home: w.home, Dir: w.at("src/app"), Env: []string{"PATH=/usr/bin:/bin", "HOME=" + w.home},
		StateDir: w.at(".local/state/belljar"), RuntimeDir: filepath.Join(top, "run"), ConfigDir: w.at(".config/belljar"),
		Identity: belljar.Identity{HostUID: os.Geteuid(), HostGID: os.Getegid(), UID: os.Geteuid(), GID: os.Getegid(), User: "dev"},
	}
	return w
}

func (w *world) at(p string) string { return filepath.Join(w.home, p) }

func (w *world) mkdir(p string) string {
	w.t.Helper()
	if err := os.MkdirAll(w.at(p), 0o755); err != nil {
		w.t.Fatal(err)
	}
	return w.at(p)
}

// file writes a file; one whose content begins with "#!" is executable.
func (w *world) file(p, content string) string {
	w.t.Helper()
	w.mkdir(filepath.Dir(p))
	mode := os.FileMode(0o644)
	if strings.HasPrefix(content, "#!") {
		mode = 0o755
	}
	if err := os.WriteFile(w.at(p), []byte(content), mode); err != nil {
		w.t.Fatal(err)
	}
	return w.at(p)
}

func (w *world) link(text, p string) {
	w.t.Helper()
	w.mkdir(filepath.Dir(p))
	if err := os.Symlink(text, w.at(p)); err != nil {
		w.t.Fatal(err)
	}
}

// path sets PATH: entries that are not absolute lie below HOME.
func (w *world) path(entries ...string) {
	for i, e := range entries {
		if rel, ok := strings.CutPrefix(e, "~/"); ok {
			entries[i] = w.at(rel)
		}
	}
	w.o.Env = append(slices.DeleteFunc(slices.Clone(w.o.Env), func(s string) bool { return strings.HasPrefix(s, "PATH=") }),
		"PATH="+strings.Join(entries, ":")+":/usr/bin:/bin")
}

func (w *world) gather() *Facts {
	w.t.Helper()
	f, err := Gather(context.Background(), w.o)
	if err != nil {
		w.t.Fatalf("Gather: %v (hint: %s)", err, belljar.HintOf(err))
	}
	return f
}

// rootsOf are all roots below HOME, relative to it, sorted.
func (w *world) rootsOf(f *Facts) []string {
	var out []string
	all := slices.Clone(f.Command.Roots)
	for _, e := range f.Path {
		all = append(all, e.Roots...)
	}
	for _, r := range all {
		rel, err := filepath.Rel(w.home, r.Path)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, rel)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

const script = "#!/bin/sh\n"

type pathLayout struct {
	name    string
	build   func(w *world)
	path    []string
	command string
	roots   []string // below HOME
	real    string   // of the command, below HOME
}

// nodeLayouts are those of Node and of agents.
func nodeLayouts() []pathLayout {
	return []pathLayout{
		{
			name: "npm -g with a prefix below HOME",
			build: func(w *world) {
				w.file(".npm-global/lib/node_modules/@acme/agent/cli.js", "#!/usr/bin/env sh\n")
				w.file(".npm-global/lib/node_modules/@acme/agent/package.json", "{}")
				w.file(".npm-global/etc/npmrc", "//r.example/:_authToken=x")
				w.link("../lib/node_modules/@acme/agent/cli.js", ".npm-global/bin/agent")
			},
			path: []string{"~/.npm-global/bin"}, command: "agent",
			roots: []string{".npm-global/bin", ".npm-global/lib"},
			real:  ".npm-global/lib/node_modules/@acme/agent/cli.js",
		},
		{
			name: "nvm",
			build: func(w *world) {
				w.file(".nvm/versions/node/v22.1.0/bin/node", script)
				w.file(".nvm/versions/node/v22.1.0/lib/node_modules/agent/cli.js", "#!/usr/bin/env node\n")
				w.link("../lib/node_modules/agent/cli.js", ".nvm/versions/node/v22.1.0/bin/agent")
				w.file(".nvm/alias/default", "22")
			},
			path: []string{"~/.nvm/versions/node/v22.1.0/bin"}, command: "agent",
			roots: []string{".nvm/versions/node/v22.1.0"},
			real:  ".nvm/versions/node/v22.1.0/lib/node_modules/agent/cli.js",
		},
		{
			name: "native installer: a link to a version that is one file",
			build: func(w *world) {
				w.file(".local/share/claude/versions/2.1.3", script)
				w.file(".local/share/claude/versions/2.1.2", script)
				w.file(".local/share/keep/state.db", "x")
				w.link(w.at(".local/share/claude/versions/2.1.3"), ".local/bin/claude")
			},
			path: []string{"~/.local/bin"}, command: "claude",
			roots: []string{".local/bin", ".local/share/claude/versions/2.1.3"},
			real:  ".local/share/claude/versions/2.1.3",
		},
		{
			name: "a version that is a folder",
			build: func(w *world) {
				w.file(".local/share/cursor/versions/7/agent", script)
				w.file(".local/share/cursor/versions/7/node", script)
				w.link("../share/cursor/versions/7/agent", ".local/bin/agent")
			},
			path: []string{"~/.local/bin"}, command: "agent",
			roots: []string{".local/bin", ".local/share/cursor/versions/7"},
			real:  ".local/share/cursor/versions/7/agent",
		},
		{
			name: "volta",
			build: func(w *world) {
				w.file(".volta/bin/volta-shim", script)
				w.link("volta-shim", ".volta/bin/node")
				w.mkdir(".volta/tools/image")
			},
			path: []string{"~/.volta/bin"}, command: "node",
			roots: []string{".volta"}, real: ".volta/bin/volta-shim",
		},
		{
			name: "asdf shims",
			build: func(w *world) {
				w.file(".asdf/shims/node", "#!/usr/bin/env bash\n")
				w.mkdir(".asdf/installs/nodejs")
				w.mkdir(".asdf/plugins/nodejs")
				w.file(".tool-versions", "nodejs 22")
			},
			path: []string{"~/.asdf/shims"}, command: "node",
			roots: []string{".asdf", ".tool-versions"}, real: ".asdf/shims/node",
		},
		{
			name: "pnpm's store",
			build: func(w *world) {
				w.file(".local/share/pnpm/global/5/node_modules/.pnpm/a@1/node_modules/a/cli.js", "#!/usr/bin/env sh\n")
				w.link("../global/5/node_modules/.pnpm/a@1/node_modules/a/cli.js", ".local/share/pnpm/bin/a")
			},
			path: []string{"~/.local/share/pnpm/bin"}, command: "a",
			roots: []string{".local/share/pnpm/bin", ".local/share/pnpm/global/5/node_modules"},
			real:  ".local/share/pnpm/global/5/node_modules/.pnpm/a@1/node_modules/a/cli.js",
		},
	}
}

// otherLayouts are those of other languages.
func otherLayouts() []pathLayout {
	return []pathLayout{
		{
			name: "pyenv shims",
			build: func(w *world) {
				w.file(".pyenv/libexec/pyenv", script)
				w.file(".pyenv/shims/tool", "#!/usr/bin/env bash\n")
				w.file(".pyenv/versions/3.12.1/bin/python3", script)
			},
			path: []string{"~/.pyenv/shims"}, command: "tool",
			roots: []string{".pyenv"}, real: ".pyenv/shims/tool",
		},
		{
			name: "cargo through rustup",
			build: func(w *world) {
				w.file(".cargo/bin/rustup", script)
				w.link("rustup", ".cargo/bin/cargo")
				w.file(".cargo/credentials.toml", "token = 1")
				w.file(".cargo/registry/x", "x")
				w.mkdir(".rustup/toolchains")
			},
			path: []string{"~/.cargo/bin"}, command: "cargo",
			roots: []string{".cargo/bin", ".rustup"}, real: ".cargo/bin/rustup",
		},
		{
			name: "pipx: a virtual environment with an interpreter of uv",
			build: func(w *world) {
				w.file(".local/share/pipx/venvs/aider/pyvenv.cfg", "home = x")
				w.file(".local/share/pipx/venvs/aider/bin/aider", "#!"+w.at(".local/share/pipx/venvs/aider/bin/python")+"\n")
				w.file(".local/share/uv/python/cpython-3.12/bin/python3.12", script)
				w.mkdir(".local/share/uv/python/cpython-3.12/lib")
				w.link(w.at(".local/share/uv/python/cpython-3.12/bin/python3.12"), ".local/share/pipx/venvs/aider/bin/python")
				w.link("../share/pipx/venvs/aider/bin/aider", ".local/bin/aider")
			},
			path: []string{"~/.local/bin"}, command: "aider",
			roots: []string{
				".local/bin", ".local/share/pipx/venvs/aider",
				".local/share/uv/python/cpython-3.12/bin", ".local/share/uv/python/cpython-3.12/lib",
			},
			real: ".local/share/pipx/venvs/aider/bin/aider",
		},
		{
			name: "a script without execute bit in a second place",
			build: func(w *world) {
				w.file("go/bin/tool", "not a script")
				w.file("bin/tool", script)
				w.file("go/bin/other", script)
				w.file("go/pkg/mod/x", "x")
			},
			path: []string{"~/go/bin", "~/bin"}, command: "tool",
			roots: []string{"bin", "go/bin"}, real: "bin/tool",
		},
		{
			name: "HOME/.local/lib goes with HOME/.local/bin",
			build: func(w *world) {
				w.file(".local/bin/py", "#!/usr/bin/python3\n")
				w.file(".local/lib/python3.11/site-packages/x.py", "")
				w.file(".local/share/opencode/auth.json", "secret")
			},
			path: []string{"~/.local/bin"}, command: "py",
			roots: []string{".local/bin", ".local/lib"}, real: ".local/bin/py",
		},
		{
			name: "a JDK",
			build: func(w *world) {
				w.file(".sdkman/candidates/java/21/bin/java", script)
				w.file(".sdkman/candidates/java/21/release", "x")
				w.file(".sdkman/candidates/java/21/lib/modules", "x")
				w.link("21", ".sdkman/candidates/java/current")
			},
			path: []string{"~/.sdkman/candidates/java/current/bin"}, command: "java",
			roots: []string{".sdkman/candidates/java/21"}, real: ".sdkman/candidates/java/21/bin/java",
		},
	}
}

func TestPathLayouts(t *testing.T) {
	for _, tt := range slices.Concat(nodeLayouts(), otherLayouts()) {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.build(w)
			w.path(tt.path...)
			w.o.Command = []string{tt.command}
			f := w.gather()
			if got := w.rootsOf(f); !slices.Equal(got, tt.roots) {
				t.Errorf("roots %q, want %q", got, tt.roots)
			}
			if want := w.at(tt.real); f.Command.Real != want {
				t.Errorf("real file %q, want %q", f.Command.Real, want)
			}
			if !f.Command.Bare || f.Command.InWorkspace {
				t.Errorf("bare %v, in workspace %v", f.Command.Bare, f.Command.InWorkspace)
			}
		})
	}
}

// A package under development, reached by npm link, is somebody's project: it is
// served by name, so that its secrets stay hidden.
func TestLinkedPackageIsAProject(t *testing.T) {
	w := newWorld(t)
	w.file("src/tool/bin/cli.js", "#!/usr/bin/env sh\n")
	w.file("src/tool/package.json", "{}")
	w.file("src/tool/.env", "SECRET")
	w.link(w.at("src/tool"), ".npm-global/lib/node_modules/tool")
	w.link("../lib/node_modules/tool/bin/cli.js", ".npm-global/bin/tool")
	w.path("~/.npm-global/bin")
	w.o.Command = []string{"tool"}
	f := w.gather()
	if got, want := w.rootsOf(f), []string{".npm-global/bin", ".npm-global/lib", "src/tool"}; !slices.Equal(got, want) {
		t.Fatalf("roots %q, want %q", got, want)
	}
	p, err := build(plainWishes(), f, fullCaps())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(p.Workspace.Views, belljar.View{Source: w.at("src/tool"), Target: w.at("src/tool"), ReadOnly: true}) {
		t.Errorf("views %+v", p.Workspace.Views)
	}
	checkMounts(t, p, f)
}

func TestPathLeftOut(t *testing.T) {
	w := newWorld(t)
	w.file(".ssh/tool", script)
	w.file("tool", script)
	w.file(".config/x/tool", script)
	w.file(".config/gh/hosts.yml", "x")
	w.file(".config/tool", script)
	w.file(".local/state/belljar/x/tool", script)
	w.file("src/tool", script)
	w.file("src/app/node_modules/.bin/agent", script)
	w.mkdir("empty")
	w.link("loop", "loop")
	w.file("new\nline/tool", script)
	w.link(".ssh", "innocent")
	w.path("~/.ssh", w.home, "/", "~/.config", "~/.local/state/belljar/x", "~/src", "~/empty", "~/loop", "~/missing",
		"~/new\nline", "~/innocent", ".", "", "node_modules/.bin", "/proc/self", "/tmp", "~/src/app/node_modules/.bin")
	w.o.Command = []string{"sh"}
	f := w.gather()
	if got := w.rootsOf(f); len(got) != 0 {
		t.Errorf("roots of what must be left out: %q", got)
	}
	visible := map[string]bool{"/usr/bin": true, "/bin": true, w.at("src/app/node_modules/.bin"): true}
	for _, e := range f.Path {
		if (e.Left == "") != visible[e.As] {
			t.Errorf("entry %q: left out because %q", e.As, e.Left)
		}
	}
	for _, part := range []string{".ssh is left out: credentials", "is your home folder", ".local/state/belljar", "contains the project"} {
		if !slices.ContainsFunc(f.Notes, func(n string) bool { return strings.Contains(n, part) }) {
			t.Errorf("no note says %q; notes: %q", part, f.Notes)
		}
	}
}

func TestCommandErrors(t *testing.T) {
	tests := []struct {
		name    string
		command string
		kind    belljar.Kind
		says    string
	}{
		{"nowhere", "no-such-program", belljar.KindNotFound, "not found on PATH"},
		{"only in an entry that is left out", "inssh", belljar.KindNotFound, "credentials are kept in"},
		{"not executable", "plain", belljar.KindRefused, "is not executable"},
		{"path: missing", "./missing", belljar.KindNotFound, "no such file"},
		{"path: not executable", "./README", belljar.KindRefused, "not executable"},
		{"path: folder", "./sub", belljar.KindRefused, "folder"},
		{"path: loop", "./loop", belljar.KindRefused, "too many levels"},
		{"path: secret", "../../.ssh/inssh", belljar.KindRefused, "credentials"},
		{"path: state", "../../.local/state/belljar/x", belljar.KindRefused, "belljar's own"},
		{"NUL", "./a\x00b", belljar.KindNotFound, ""},
		{"empty", "", belljar.KindUsage, "no command"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.file(".ssh/inssh", script)
			w.file(".local/state/belljar/x", script)
			w.file("bin/plain", "x")
			w.file("bin/ok", script)
			w.file("src/app/README", "x")
			w.mkdir("src/app/sub")
			w.link("loop", "src/app/loop")
			w.path("~/.ssh", "~/bin")
			w.o.Command = []string{tt.command}
			_, err := Gather(context.Background(), w.o)
			if err == nil {
				t.Fatal("no error")
			}
			if k := belljar.KindOf(err); k != tt.kind {
				t.Errorf("kind %v, want %v: %v", k, tt.kind, err)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%q does not say %q", err, tt.says)
			}
		})
	}
}

func TestCommandOfTheProjectIsNoAgent(t *testing.T) {
	for _, entry := range []string{"node_modules/.bin", ".", "~/src/app/node_modules/.bin", "~/tools"} {
		w := newWorld(t)
		w.file("src/app/node_modules/.bin/claude", script)
		w.file("src/app/claude", script)
		w.link(w.at("src/app/claude"), "tools/claude")
		w.path(entry)
		w.o.Command = []string{"claude"}
		f := w.gather()
		if !f.Command.InWorkspace || !f.Command.Bare {
			t.Errorf("PATH entry %s: command %+v is not told to be the project's", entry, f.Command)
		}
	}
}

func TestInterpreterIsFollowed(t *testing.T) {
	w := newWorld(t)
	w.file("tools/run", "#!"+w.at("vm/bin/interp")+" -x\n")
	w.file("vm/bin/interp", "#!/bin/sh\n")
	w.mkdir("vm/lib")
	w.file("vm/etc/secret", "x")
	w.o.Command = []string{w.at("tools/run")}
	f := w.gather()
	if got, want := w.rootsOf(f), []string{"tools/run", "vm/bin", "vm/lib"}; !slices.Equal(got, want) {
		t.Errorf("roots %q, want %q", got, want)
	}
}

func TestWorkspaceRefused(t *testing.T) {
	tests := []struct {
		name, workspace, says string
	}{
		{"home", "~", "your home folder"},
		{"root", "/", "root of the file system"},
		{"above home", "~/..", "contains your home"},
		{"state", "~/.local/state/belljar", "belljar's own"},
		{"in state", "~/.local/state/belljar/sandboxes", "belljar's own"},
		{"contains state", "~/.local", "belljar's own"},
		{"config", "~/.config/belljar", "belljar's own"},
		{"a link to home", "~/src/home", "your home folder"},
		{"secrets", "~/.ssh", "credentials"},
		{"contains secrets", "~/.config", ""},
		{"proc", "/proc/self", "running system"},
		{"file", "~/src/file", "not a folder"},
		{"missing", "~/src/missing", "no such file"},
		{"loop", "~/src/loop", "too many"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.mkdir(".local/state/belljar/sandboxes")
			w.mkdir(".config/belljar")
			w.file(".ssh/id_rsa", "x")
			w.file("src/file", "x")
			w.link(w.home, "src/home")
			w.link("loop", "src/loop")
			w.o.Workspace = strings.Replace(tt.workspace, "~", w.home, 1)
			_, err := Gather(context.Background(), w.o)
			var e *belljar.Error
			if !errors.As(err, &e) || e.Kind != belljar.KindUsage || e.Hint == "" {
				t.Fatalf("error %#v, want KindUsage with a hint", err)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%q does not say %q", err, tt.says)
			}
		})
	}
}

func TestWorkspaceByLink(t *testing.T) {
	w := newWorld(t)
	w.link("src", "work")
	w.o.Dir = w.at("work/app")
	w.o.Env = append(w.o.Env, "PWD="+w.at("work/app"))
	f := w.gather()
	if want := w.at("src/app"); f.Workspace.Dir != want || f.Dir != want {
		t.Errorf("workspace %q, folder %q, want %q", f.Workspace.Dir, f.Dir, want)
	}
	if !slices.Contains(f.Links, Link{Path: w.at("work"), Text: "src"}) {
		t.Errorf("the link is not kept: %v", f.Links)
	}
}

func TestTopOfWorkTree(t *testing.T) {
	t.Run("top", func(t *testing.T) {
		w := newWorld(t)
		w.gitDir("src/app/.git")
		w.o.Dir = w.mkdir("src/app/deep/er")
		if f := w.gather(); f.Workspace.Dir != w.at("src/app") || f.Dir != w.at("src/app/deep/er") {
			t.Errorf("workspace %q, folder %q", f.Workspace.Dir, f.Dir)
		}
	})
	t.Run("dotfiles at home", func(t *testing.T) {
		w := newWorld(t)
		w.gitDir(".git")
		if f := w.gather(); f.Workspace.Dir != w.at("src/app") {
			t.Errorf("workspace %q", f.Workspace.Dir)
		}
	})
	t.Run("not a git directory", func(t *testing.T) {
		w := newWorld(t)
		w.mkdir("src/.git")
		if f := w.gather(); f.Workspace.Dir != w.at("src/app") {
			t.Errorf("workspace %q", f.Workspace.Dir)
		}
	})
}
