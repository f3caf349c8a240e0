package plan

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// What a file of the project leads to, a link or a script's first line, becomes
// visible only where somebody installed a tool.
func TestProjectCannotNameRoots(t *testing.T) {
	w := newWorld(t)
	elf := "#!/bin/sh\n" // any program will do
	w.file("other/package.json", "{}")
	w.file("other/run.js", elf)
	w.file("notes/diary", elf)
	w.file("work/.git/HEAD", "x")
	w.file("work/bin/tool", elf)
	w.file("work/lib/x", "x")
	w.file("tools/py/bin/python", elf)
	w.file("tools/py/lib/x", "x")
	w.link(w.at("other/run.js"), "src/app/linked")
	w.file("src/app/hashbang", "#!"+w.at("other/run.js")+"\n")
	w.link(w.at("notes/diary"), "src/app/diary")
	w.file("src/app/worktree", "#!"+w.at("work/bin/tool")+"\n")
	w.link(w.at("tools/py/bin/python"), "src/app/.venv/bin/python")
	w.file("src/app/.venv/pyvenv.cfg", "x")
	w.file("src/app/.venv/bin/pytest", "#!"+w.at("src/app/.venv/bin/python")+"\n")
	for _, c := range []struct {
		command string
		read    []string
		visible string // empty: refused
	}{
		{"./linked", nil, ""},
		{"./hashbang", nil, ""},
		{"./diary", nil, ""},
		{"./worktree", nil, ""},
		{"./linked", []string{w.at("other")}, "none"},
		{".venv/bin/pytest", nil, w.at("tools/py/bin")},
		{w.at("other/run.js"), nil, w.at("other")}, // the user names it
	} {
		w.o.Command, w.o.Read = []string{c.command}, c.read
		f, err := Gather(context.Background(), w.o)
		switch {
		case c.visible == "":
			if belljar.KindOf(err) != belljar.KindRefused || !strings.Contains(err.Error(), "the project leads there") {
				t.Errorf("%s: %v", c.command, err)
			}
		case err != nil:
			t.Errorf("%s: %v", c.command, err)
		case c.visible != "none" && !slices.ContainsFunc(f.Command.Roots, func(r Root) bool { return r.Path == c.visible }):
			t.Errorf("%s: %v", c.command, f.Command.Roots)
		}
	}
}

// A PATH entry of the project that is a link to somewhere else shows nothing of it.
func TestPathEntryLeadsOut(t *testing.T) {
	w := newWorld(t)
	w.file("private/tool", "#!/bin/sh\n")
	w.link(w.at("private"), "src/app/bin")
	w.mkdir("src/app/own")
	w.file("src/app/own/x", "#!/bin/sh\n")
	w.link("own", "src/app/inner")
	w.path(w.at("src/app/bin"), w.at("src/app/inner"))
	f := w.gather()
	for _, e := range f.Path {
		if strings.HasSuffix(e.As, "app/bin") != strings.Contains(e.Left, "leads out") || len(e.Roots) > 0 && under(e.As, w.home) {
			t.Errorf("%+v", e)
		}
	}
}

// Names that a plan cannot hold do not come into one.
func TestNamesThatAreNoText(t *testing.T) {
	for _, bad := range []string{"a\nb", "a\x1b]0;x\ab", "a\xffb"} {
		w := newWorld(t)
		w.mkdir(bad)
		w.o.Home = w.at(bad)
		if _, err := Gather(context.Background(), w.o); err == nil {
			t.Errorf("HOME %q is accepted", bad)
		}
		w = newWorld(t)
		w.mkdir("src/" + bad)
		w.o.Dir = w.at("src/" + bad)
		if _, err := Gather(context.Background(), w.o); belljar.KindOf(err) != belljar.KindUsage {
			t.Errorf("workspace %q: %v", bad, err)
		}
		w = newWorld(t)
		w.link(w.at("src"), bad)
		w.o.Env = append(w.o.Env, "PWD="+w.at(bad+"/app"), "PATH=/usr/bin:"+w.at(bad))
		w.o.Read = []string{w.at(bad + "/app")}
		for _, l := range w.gather().Links {
			if !plainName(l.Path) || !plainName(l.Text) {
				t.Errorf("a link %q is made", l)
			}
		}
	}
}

// Whatever way leads there, these are no projects.
func TestNoProjectByAnyName(t *testing.T) {
	w := newWorld(t)
	if err := os.MkdirAll(w.o.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	w.mkdir(".config/belljar")
	w.link(w.home, "src/me")
	w.link("/", "src/root")
	w.link(w.o.StateDir, "src/state")
	w.link(filepath.Dir(w.home), "src/above")
	for _, dir := range []string{
		"/", "//", "/.", w.home, w.home + "/", w.home + "/src/..", w.at("src/me"), w.at("src/me/src/me"), w.at("src/root"), w.at("src/root/proc/self/cwd/../../.."),
		w.o.StateDir, w.at("src/state"), filepath.Dir(w.o.StateDir), w.at("src/above"), w.o.ConfigDir, w.at(".config"), "/proc/self/root", "/etc", "/usr", "/usr/bin", "/opt", "/lib", "/dev/shm/../..",
	} {
		w.o.Workspace = dir
		if got, err := FindWorkspace(w.o); err == nil && !under(got, w.at("src")) {
			t.Errorf("%s is a project: %s", dir, got)
		}
	}
}
