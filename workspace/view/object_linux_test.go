package view

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/workspace/shadow"
	"github.com/google/go-cmp/cmp"
)

// objectStore is every file of the object store with its content.
func objectStore(t testing.TB, git string) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, filepath.WalkDir(git+"/objects", func(p string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			out[p] = read(t, p)
		}
		return err
	}))
	return out
}

// packedRepo has loose objects, a pack with all that belongs to it, two branches.
const packedRepo = makeRepo + `; git gc -q; git commit-graph write --reachable 2>/dev/null; echo two > f; git commit -qam second; git branch topic; echo three > f; git commit -qam third`

// sound says whether the host's repository is what it was, and whole.
func sound(t testing.TB, w *world, before map[string]string, tip string) {
	t.Helper()
	after := objectStore(t, w.host+"/.git")
	for p, was := range before {
		if now, ok := after[p]; !ok {
			t.Errorf("%s is gone on the host", p)
		} else if now != was {
			t.Errorf("%s changed on the host", p)
		}
	}
	w.onHost(`test "$(git rev-parse main)" = ` + tip + `; git fsck --strict; git log --oneline main topic; git reflog main | grep -q third; git status`)
}

// TestObjectsAreOnlyAdded takes a repository of the host apart in every way that
// comes to mind; the host's stays what it was, and the next run sees it whole.
func TestObjectsAreOnlyAdded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, script, seen string }{
		{"everything removed", `rm -rf .git 2>/dev/null`, `test -z "$(find .git/objects .git/refs -type f 2>/dev/null)"`},
		{"objects removed", `rm -rf .git/objects/* 2>/dev/null`, `test -z "$(find .git/objects -type f)"; ! git log 2>/dev/null`},
		{"pack removed", `rm -f .git/objects/pack/*`, `test -z "$(ls -A .git/objects/pack)"`},
		{"renamed away", `for o in .git/objects/*/*; do mv -f "$o" x; done; rm -f x`, `test -z "$(find .git/objects -type f)"`},
		{"folders renamed away", `mkdir y; mv .git/objects/* y/ 2>/dev/null; mv .git/refs/heads y/ 2>/dev/null; rm -rf y`, ``},
		{"overwritten", `chmod -R u+w .git/objects; for o in .git/objects/*/*; do echo junk > "$o"; done`, `test "$(cat .git/objects/pack/*.pack)" = junk`},
		{"written in place", `chmod -R u+w .git/objects; for o in .git/objects/*/*; do printf junk | dd of="$o" conv=notrunc status=none; done`, `head -c 4 .git/objects/pack/*.idx | grep -q junk`},
		{"truncated", `chmod -R u+w .git/objects; for o in .git/objects/*/*; do truncate -s 3 "$o"; done`, ``},
		{"replaced", `for o in .git/objects/*/*; do echo junk > .git/objects/tmp_x; mv -f .git/objects/tmp_x "$o"; done`, `test "$(cat .git/objects/pack/*.pack)" = junk`},
		{"replaced from elsewhere", `for o in .git/objects/*/*; do echo junk > x; mv -f x "$o"; done`, ``},
		{"linked and written", `for o in .git/objects/*/*; do ln "$o" "${o%/*}/tmp_l" && chmod u+w "${o%/*}/tmp_l" && echo junk > "${o%/*}/tmp_l"; rm -f "${o%/*}/tmp_l"; done`, `git fsck`},
		{"open while removed", `chmod -R u+w .git/objects; for o in .git/objects/*/*; do exec 3<>"$o"; rm -f "$o"; printf junk >&3 || true; exec 3>&-; done; true`, ``},
		{"exchanged", `python3 -c '
import ctypes, glob
l = ctypes.CDLL(None)
for o in glob.glob(".git/objects/*/*"):
    open(".git/objects/tmp_x", "w").write("junk")
    l.renameat2(-100, b".git/objects/tmp_x", -100, o.encode(), 2)
'`, `git fsck`},
		{"references removed", `rm -rf .git/refs/heads .git/packed-refs .git/logs; rm -f .git/index`, `! git rev-parse -q --verify main`},
		{"references moved", `mv .git/refs/heads/main m 2>/dev/null; mv .git/logs/refs/heads/main l; rm -f m l`, `test ! -e .git/refs/heads/main`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldOptions{seed: repoSeed(t, packedRepo)})
			before, tip := objectStore(t, w.host+"/.git"), strings.TrimSpace(w.onHost(`git rev-parse main`))
			out, err := w.run("sh", "-c", c.script)
			t.Logf("%v %.300s", err, out)
			w.sh(c.seen)
			sound(t, w, before, tip)
			w.server.Close()
			again := newWorld(t, worldOptions{host: w.host, shadow: w.shadow})
			again.sh(`git fsck; test "$(git rev-parse main)" = ` + tip + `; git log --oneline topic; git status --porcelain`)
			sound(t, again, before, tip)
			again.sh(`echo more > g; git add g; git commit -qm more`)
			again.onHost(`git fsck --strict`)
		})
	}
}

// TestStartOver: an agent that removes the repository and makes a new one leaves the
// host's with all that was in it.
func TestStartOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{seed: repoSeed(t, packedRepo)})
	before, tip := objectStore(t, w.host+"/.git"), strings.TrimSpace(w.onHost(`git rev-parse main`))
	w.run("sh", "-c", `rm -rf .git`)
	w.sh(`git init -q -b main . 2>/dev/null; git add -A; git commit -qm anew; git log --oneline`)
	w.onHost(`git fsck --strict; git log --oneline; git cat-file -e ` + tip + `; git log --oneline topic; git reflog --all`)
	for p, was := range before {
		if read(t, p) != was {
			t.Errorf("%s changed", p)
		}
	}
	w.server.Close()
	newWorld(t, worldOptions{host: w.host, shadow: w.shadow}).sh(`git fsck; git log --oneline main topic; git cat-file -e ` + tip)
}

// TestHousekeeping lets git tidy up inside, in the way of each of its programs.
func TestHousekeeping(t *testing.T) {
	t.Parallel()
	const many = makeRepo + `; for i in $(seq 12); do echo $i > n$i; git add n$i; git commit -qm $i; done; git branch old HEAD~5; git checkout -q -b side HEAD~9; echo s > s; git add s; git commit -qm side; git checkout -q main`
	for _, script := range []string{
		`git gc -q`, `git repack -adq; git prune-packed`, `git reset -q --hard HEAD~3; git reflog expire --expire=now --all; git prune --expire=now; git gc -q --prune=now`,
		`git branch -D old; git tag t side; git branch -m side other/side; git pack-refs --all; git branch -D other/side; git gc -q`,
		`echo d >> f; git stash -q; git stash pop -q; git stash -q; git stash drop -q; git rebase -q --onto HEAD~2 HEAD~1; git checkout -q main; git repack -dq`,
		`git repack -q; git multi-pack-index write --bitmap; git commit-graph write --reachable --split; git maintenance run --quiet`,
		`git clone -q . c; cd c; git gc -q; cd ..; rm -rf c; test ! -e c`,
		`git bundle create -q b main; git init -q --bare x.git; cd x.git; git config receive.unpackLimit 1; cd ..; git push -q x.git main; git config fetch.unpackLimit 1; git -C x.git commit-tree -m new 'main^{tree}' > h; git -C x.git branch new $(cat h); git fetch -q ./x.git new:new; git log new`,
		`git rev-list --objects --all | git pack-objects -q p; git init -q --bare y.git; for p in p-*.pack; do git --git-dir=y.git unpack-objects -q < $p; cp $p .git/objects/pack/tmp_p; git index-pack $p > i; mv .git/objects/pack/tmp_p .git/objects/pack/pack-$(cat i).pack; cp p-*.idx .git/objects/pack/tmp_i; mv .git/objects/pack/tmp_i .git/objects/pack/pack-$(cat i).idx; done; rm -rf y.git; git prune-packed`,
	} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldOptions{seed: repoSeed(t, many)})
			before := objectStore(t, w.host+"/.git")
			w.sh(script)
			w.sh(`git fsck --strict; git status`)
			w.onHost(`git fsck --strict; git status; git log --oneline --all >/dev/null`)
			after := objectStore(t, w.host+"/.git")
			for p := range before {
				if _, ok := after[p]; !ok {
					t.Errorf("%s is gone", p)
				}
			}
			refs := w.onHost(`git for-each-ref`)
			if in := w.sh(`git for-each-ref`); in != refs {
				t.Errorf("references differ: inside %s\nhost %s", in, refs)
			}
			w.server.Close()
			w.onHost(`git gc -q --prune=now; git fsck --strict`)
			again := newWorld(t, worldOptions{host: w.host, shadow: w.shadow})
			again.sh(`git fsck --strict; git log --oneline --all >/dev/null; git commit -q --allow-empty -m again; git gc -q`)
			again.onHost(`git fsck --strict; git log -1 --format=%s | grep -qx again`)
		})
	}
}

// TestForgedObjects: what does not have the content that its name says stays inside.
func TestForgedObjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{seed: repoSeed(t, packedRepo)})
	const id = "aa/bbccddeeff00112233445566778899aabbccdd"
	w.sh(`mkdir -p .git/objects/aa .git/lfs/objects/aa/bb`)
	forge := `python3 -c 'import zlib,sys; sys.stdout.buffer.write(zlib.compress(b"blob 4\0evil"))'`
	lfs := "aabb" + strings.Repeat("0", 60)
	for i, script := range []string{
		forge + ` > x; mv x .git/objects/` + id,
		forge + ` > .git/objects/aa/tmp_obj_x; mv .git/objects/aa/tmp_obj_x .git/objects/` + id,
		forge + ` > .git/objects/aa/tmp_obj_x; ln .git/objects/aa/tmp_obj_x .git/objects/` + id + `; rm .git/objects/aa/tmp_obj_x`,
		forge + ` > .git/objects/` + id,
		forge + ` | tee .vscode > .env; mv .env .git/objects/` + id,
		`mkdir -p .git/objects/tmp_objdir-x/aa; ` + forge + ` > .git/objects/tmp_objdir-x/` + id + `; mv .git/objects/tmp_objdir-x/aa .git/objects/aa; cp -r .git/objects/tmp_objdir-x/aa .git/objects/; rm -r .git/objects/tmp_objdir-x`,
		`ln -s ../../../f .git/objects/` + id,
		`: > x; mv x .git/objects/` + id,
		`o=$(echo good | git hash-object -w --stdin); p=.git/objects/$(echo $o | cut -c1-2)/$(echo $o | cut -c3-); cp $p x; mv x .git/objects/` + id,
		`P=$(ls .git/objects/pack/*.pack); cp $P x; mv x .git/objects/pack/pack-` + strings.Repeat("a", 40) + `.idx`,
		`P=$(ls .git/objects/pack/*.pack); { cat $P; echo; } > x; mv x .git/objects/pack/pack-` + strings.Repeat("a", 40) + `.pack; ls .git/objects/pack`,
		`echo x > x; mv x .git/lfs/objects/aa/bb/` + lfs,
		`echo x > .git/lfs/objects/aa/bb/` + lfs,
		`echo x > .git/objects/pre-commit; mkdir -p .git/lfs/hooks; echo x > .git/lfs/hooks/post-checkout; echo x > .git/lfs/pre-push`,
	} {
		out, err := w.run("sh", "-c", script)
		t.Logf("%v %s", err, out)
		for _, n := range []string{"objects/" + id, "objects/pack/pack-" + strings.Repeat("a", 40) + ".idx", "objects/pack/pack-" + strings.Repeat("a", 40) + ".pack", "lfs/objects/aa/bb/" + lfs, "objects/pre-commit", "lfs/hooks/post-checkout", "lfs/pre-push"} {
			if _, err := os.Lstat(w.host + "/.git/" + n); err == nil {
				t.Fatalf("script %d: %s reached the host", i, n)
			}
		}
		w.run("sh", "-c", `rm -f .git/objects/`+id+` x .env`)
	}
	w.onHost(`git fsck --strict`)
	// Afterwards the right content still gets there, over what was held.
	w.sh(`s=$(printf 'large' | sha256sum | cut -c1-64); d=.git/lfs/objects/$(echo $s | cut -c1-2)/$(echo $s | cut -c3-4); mkdir -p $d; echo no > $d/$s; printf large > x; mv x $d/$s; echo $d/$s > where`)
	if got := read(t, filepath.Join(w.host, strings.TrimSpace(read(t, w.host+"/where")))); got != "large" {
		t.Errorf("the large file is %q", got)
	}
}

// TestForgedWhileOpen: a descriptor that was opened under the temporary name writes
// nothing into the object.
func TestForgedWhileOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{seed: repoSeed(t, packedRepo)})
	w.run("sh", "-c", `o=$(echo good | git hash-object --stdin); d=.git/objects/$(echo $o | cut -c1-2); mkdir -p $d
python3 -c 'import zlib,sys; sys.stdout.buffer.write(zlib.compress(b"blob 5\0good\n"))' > $d/tmp_x
exec 3<>$d/tmp_x; mv $d/tmp_x $d/$(echo $o | cut -c3-); echo forged >&3; echo $o > o`)
	if got := w.onHost(`git cat-file -p $(cat o); git fsck --strict`); !strings.HasPrefix(got, "good\n") {
		t.Errorf("the object holds %q", got)
	}
}

// TestObjectsInReview: what is applied of a repository never removes or changes
// objects of the host.
func TestObjectsInReview(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{mode: belljar.ModeReview, seed: repoSeed(t, packedRepo)})
	before := snapshot(t, w.host)
	w.sh(`echo x > x; git add x; git commit -qm x; git gc -q --prune=now; git fsck; chmod -R u+w .git/objects; rm -rf .git/objects/*; `)
	w.server.Close()
	if d := cmp.Diff(before, snapshot(t, w.host)); d != "" {
		t.Errorf("the host changed: %s", d)
	}
	s, err := shadow.Open(w.shadow)
	must(t, err)
	v, err := s.View(w.host)
	must(t, err)
	defer v.Close()
	must(t, v.Walk(func(e shadow.Entry) error {
		if e.Kind == shadow.Whiteout && strings.HasPrefix(e.Path, ".git/objects/") && (e.Base == nil || e.Base.Run == "") {
			t.Errorf("the removal of %s would be applied", e.Path)
		}
		return nil
	}))
}

// TestKeptDoesNotFreeRoom: removing what the host keeps gives nothing back.
func TestKeptDoesNotFreeRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{disk: 24 << 20, seed: repoSeed(t, makeRepo)})
	out, err := w.run("sh", "-ec", `i=0; while [ $i -lt 60 ]; do o=$(head -c 1000000 /dev/urandom | git hash-object -w --stdin); rm -f .git/objects/$(echo $o | cut -c1-2)/$(echo $o | cut -c3-); i=$((i+1)); done`)
	if err == nil {
		t.Errorf("sixty megabytes were added under a limit of 24: %s", out)
	}
}

// TestManyObjects: a gc of many loose objects keeps them all on the host.
func TestManyObjects(t *testing.T) {
	t.Parallel()
	n := many(500, 2000)
	w := newWorld(t, worldOptions{seed: repoSeed(t, fmt.Sprintf(makeRepo+`; mkdir m; for i in $(seq %d); do echo $i > m/$i; done; git add m; git commit -qm many`, n))})
	start := time.Now()
	w.sh(`git gc -q --prune=now; test "$(find .git/objects -type f | wc -l)" -lt 20`)
	t.Logf("gc of %d loose objects took %v", n, time.Since(start))
	w.onHost(fmt.Sprintf(`git fsck --strict; test "$(find .git/objects -type f | wc -l)" -gt %d`, n))
}
