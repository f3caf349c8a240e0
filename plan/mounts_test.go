package plan

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

func TestRules(t *testing.T) {
	w := newWorld(t)
	w.mkdir("docs/sub")
	w.file("docs/a.txt", "x")
	w.file("keys/server.pem", "x")
	w.mkdir(".npm")
	w.mkdir(".ssh")
	w.file(".config/gh/hosts.yml", "x")
	w.link("docs", "alias")
	l, err := net.Listen("unix", w.at("docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tests := []struct {
		path, says string
		write      bool
	}{
		{"docs", "", false},
		{"docs/a.txt", "", false},
		{"alias", "", false},
		{"docs", "", true},
		{"keys/server.pem", "hides it", false},
		{"missing", "does not exist", false},
		{"docker.sock", "a socket, a device or a pipe", false},
		{"docker.sock", "a socket, a device or a pipe", true},
		{".ssh", "credentials", false},
		{".config", "belljar's own", false},
		{".config/gh", "credentials", false},
		{".npm", "caches of their own", true},
		{".", "your home folder", false},
		{"../..", "", false},
		{".local/state/belljar", "belljar's own", false},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.path, tt.write), func(t *testing.T) {
			o := w.o
			path := filepath.Join(w.home, tt.path)
			if tt.path == "../.." {
				path, tt.says = "/", "root of the file system"
			}
			wish := plainWishes()
			wish.hide = []belljar.Pattern{{Glob: "**/*.pem"}}
			if tt.write {
				o.Write, wish.write = []string{path}, []pathRule{{path: path}}
			} else {
				o.Read, wish.read = []string{path}, []pathRule{{path: path}}
			}
			w2 := *w
			w2.t, w2.o = t, o
			p, err := build(wish, w2.gather(), fullCaps())
			if tt.says != "" {
				if belljar.KindOf(err) != belljar.KindUsage || !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("error %v, want KindUsage that says %q", err, tt.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			real := realOrClean(path)
			view := slices.ContainsFunc(p.Workspace.Views, func(v belljar.View) bool { return v.Target == real && v.ReadOnly != tt.write })
			bind := slices.ContainsFunc(p.Mounts, func(m belljar.Mount) bool { return m.Target == real && m.ReadOnly != tt.write })
			if !view && !bind {
				t.Errorf("%s is not served", path)
			}
		})
	}
}

// checkMounts holds for every plan: parents first, no target twice, nothing of the
// host but what the facts name, nothing writable but what is private.
func checkMounts(t *testing.T, p *belljar.Plan, f *Facts) {
	t.Helper()
	seen := map[string]int{}
	named := map[string]bool{}
	for _, s := range f.System {
		named[s.Path] = true
	}
	for _, e := range f.Etc {
		named[e.Real] = true
	}
	for _, e := range f.Path {
		if e.Left == "" {
			for _, r := range e.Roots {
				named[r.Path] = true
			}
		}
	}
	for _, r := range f.Command.Roots {
		named[r.Path] = true
	}
	for _, r := range f.Rules {
		if r.Refused == "" {
			named[r.Real] = true
		}
	}
	for i, m := range p.Mounts {
		if _, dup := seen[m.Target]; dup {
			t.Errorf("%s is mounted twice", m.Target)
		}
		for other := range seen {
			if m.Target != other && under(other, m.Target) {
				t.Errorf("%s comes after %s, which lies in it", m.Target, other)
			}
		}
		seen[m.Target] = i
		for _, v := range p.Workspace.Views {
			if under(m.Target, v.Target) {
				t.Errorf("%s is mounted in the view %s", m.Target, v.Target)
			}
		}
		if !filepath.IsAbs(m.Target) || filepath.Clean(m.Target) != m.Target || m.Why == "" {
			t.Errorf("bad mount %+v", m)
		}
		ours := under(m.Source, f.StateDir)
		if m.Kind == belljar.MountBind && !ours && !named[m.Source] {
			t.Errorf("%s of the host is mounted, but nothing names it", m.Source)
		}
		if m.Kind == belljar.MountBind && ours && !m.Private {
			t.Errorf("%s is ours but not private", m.Source)
		}
		if m.Kind == belljar.MountBind && !m.ReadOnly && !ours &&
			!slices.ContainsFunc(f.Rules, func(r RulePath) bool { return r.Write && r.Real == m.Source }) {
			t.Errorf("%s of the host is writable", m.Source)
		}
		if m.Kind == belljar.MountSymlink && slices.ContainsFunc(p.Mounts, func(x belljar.Mount) bool {
			return x.Target != m.Target && under(x.Target, m.Target)
		}) {
			t.Errorf("something is mounted below the link %s", m.Target)
		}
	}
}

// Random facts never give a plan that breaks the rules of checkMounts.
func TestMountProperties(t *testing.T) {
	base := loadFacts(t, "testdata/facts.json")
	rnd := rand.New(rand.NewPCG(1, 2))
	parts := []string{"a", "b", "bin", "lib", "x y", "home", "dev", "src", ".cache", "etc", "usr", "tmp", ".claude"}
	path := func() string {
		p := ""
		for range 1 + rnd.IntN(4) {
			p += "/" + parts[rnd.IntN(len(parts))]
		}
		if rnd.IntN(2) == 0 {
			return base.Home + p
		}
		return p
	}
	anyPath := path
	path = func() string { // the real path of something that is not the system's
		for {
			if p := anyPath(); !underAny(p, systemRoots) {
				return p
			}
		}
	}
	for range 3000 {
		f := *base
		f.Path, f.Links, f.Rules = nil, nil, nil
		for range rnd.IntN(6) {
			f.Path = append(f.Path, PathEntry{As: path(), Roots: []Root{{Path: path(), Why: "x"}, {Path: path(), Why: "y", Project: rnd.IntN(4) == 0}}})
		}
		for range rnd.IntN(4) {
			f.Links = append(f.Links, Link{anyPath(), anyPath()})
		}
		w := plainWishes()
		for range rnd.IntN(3) {
			r := RulePath{As: path(), Kind: RuleDir, Write: rnd.IntN(2) == 0}
			r.Real = r.As
			if rnd.IntN(2) == 0 {
				r.Kind = RuleFile
			}
			f.Rules = append(f.Rules, r)
			if r.Write {
				w.write = append(w.write, pathRule{path: r.As})
			} else {
				w.read = append(w.read, pathRule{path: r.As})
			}
		}
		w.sessions = []string{".claude/projects", "../escape", "/abs"}
		p, err := build(w, &f, fullCaps())
		if belljar.KindOf(err) == belljar.KindUsage && strings.Contains(err.Error(), "served read-only") {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		checkMounts(t, p, &f)
		if t.Failed() {
			b, _ := json.MarshalIndent(f, "", " ")
			t.Fatalf("facts: %s", b)
		}
	}
}
