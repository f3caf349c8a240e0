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
