package view

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/google/go-cmp/cmp"
)

// TestKill ends the server by force while writes are under way: every acknowledged
// byte is on the host, nothing else is, and the next server works.
func TestKill(t *testing.T) {
	t.Parallel()
	for round := range many(2, 5) {
		w := newWorld(t, worldOptions{seed: func(h string) {
			write(t, h+"/.vscode/held", "old")
			write(t, h+"/linked", strings.Repeat("x", 1<<20))
			must(t, os.Link(h+"/linked", filepath.Dir(h)+"/store"))
		}})
		var wg sync.WaitGroup
		acked := make([]int, 4)
		for i := range acked {
			wg.Add(1)
			go func() {
				defer wg.Done()
				f, err := os.OpenFile(fmt.Sprintf("%s/w%d", w.in, i), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
				if err != nil {
					return
				}
				defer f.Close()
				for {
					if _, err := f.WriteString("0123456789abcde\n"); err != nil {
						return
					}
					if acked[i]++; i == 3 && acked[i] == 200+round*37 {
						w.server.kill()
					}
				}
			}()
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; ; i++ {
				if os.WriteFile(w.in+"/.vscode/held", []byte(fmt.Sprint("new ", i)), 0o644) != nil ||
					os.WriteFile(w.in+"/linked", []byte(fmt.Sprint(i)), 0o644) != nil {
					return
				}
			}
		}()
		wg.Wait()
		<-w.server.Done()
		if w.server.Err() == nil {
			t.Error("the death has no reason")
		}
		for i, n := range acked {
			if b, _ := os.ReadFile(fmt.Sprintf("%s/w%d", w.host, i)); bytes.Count(b, []byte("\n")) < n {
				t.Errorf("w%d: %d lines acknowledged, %d there", i, n, bytes.Count(b, []byte("\n")))
			}
		}
		if _, err := os.ReadFile(w.in + "/w0"); !errors.Is(err, syscall.ENOTCONN) {
			t.Errorf("access after the death: %v", err)
		}
		again := newWorld(t, worldOptions{host: w.host, shadow: w.shadow})
		ents, err := os.ReadDir(w.host)
		must(t, err)
		for _, e := range ents {
			if n := e.Name(); n != ".vscode" && n != "linked" && !strings.HasPrefix(n, "w") {
				t.Errorf("litter: %s", n)
			}
		}
		if got := read(t, again.in+"/.vscode/held"); got != "old" && got != "" && !strings.HasPrefix(got, "new") {
			t.Errorf("held is %q", got)
		}
		if read(t, w.host+"/.vscode/held") != "old" {
			t.Error("held changed on the host")
		}
		if len(read(t, filepath.Dir(w.host)+"/store")) != 1<<20 {
			t.Error("the store changed")
		}
	}
}

// TestSupervisorGone: the server ends when its socket does.
func TestSupervisorGone(t *testing.T) {
	w := newWorld(t, worldOptions{})
	must(t, w.server.Close())
	<-w.server.Done()
	if err := w.server.Err(); err != nil {
		t.Errorf("after an orderly end: %v", err)
	}
	must(t, w.server.Close())
	ctx, cancel := context.WithCancel(context.Background())
	s, err := Start(ctx, Options{Plan: planFor(t), Events: &sink{}})
	must(t, err)
	cancel()
	<-s.Done()
	if err := s.Serve(0, os.Stdin); err == nil {
		t.Error("Serve after the end succeeded")
	}
}

// TestRenameRaces moves directories about while others read, write and list below
// them: nobody ever reads another file's content, and both sides agree in the end.
func TestRenameRaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	for i := range 4 {
		for j := range 5 {
			write(t, fmt.Sprintf("%s/d%d/s/f%d", w.host, i, j), fmt.Sprintf("f%d", j))
		}
	}
	var wg sync.WaitGroup
	for k := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r := rand.New(rand.NewPCG(uint64(k), 1))
			for range 400 {
				j := r.IntN(5)
				at := fmt.Sprintf("%s/d%d/s", w.in, r.IntN(4))
				switch r.IntN(5) {
				case 0:
					os.Rename(filepath.Dir(at), fmt.Sprintf("%s/d%d", w.in, r.IntN(4)))
				case 1:
					os.Rename(fmt.Sprintf("%s/d%d", w.in, r.IntN(4)), fmt.Sprintf("%s/t%d", w.in, k))
					os.Rename(fmt.Sprintf("%s/t%d", w.in, k), fmt.Sprintf("%s/d%d", w.in, r.IntN(4)))
				case 2:
					name := fmt.Sprintf("%s/f%d", at, j)
					if b, err := os.ReadFile(name); err == nil && string(b) != fmt.Sprintf("f%d", j) {
						t.Errorf("%s reads %q", name, b)
					}
				case 3:
					os.ReadDir(at)
				case 4:
					if f, err := os.OpenFile(fmt.Sprintf("%s/f%d", at, j), os.O_WRONLY, 0); err == nil {
						f.WriteAt([]byte(fmt.Sprintf("f%d", j)), 0)
						f.Close()
					}
				}
			}
		}()
	}
	wg.Wait()
	if d := cmp.Diff(snapshot(t, w.host), snapshot(t, w.in)); d != "" {
		t.Errorf("host and view differ: %s", d)
	}
}

// TestLikeADirectory does the same random things to the view and to a plain
// directory and compares errors and results.
func TestLikeADirectory(t *testing.T) {
	t.Parallel()
	for seed := range uint64(many(3, 12)) {
		w := newWorld(t, worldOptions{})
		plain := t.TempDir()
		r := rand.New(rand.NewPCG(seed, 7))
		names := []string{"a", "b", "c", ".vscode", ".env", "x.pem", ".husky"}
		path := func() string {
			p := names[r.IntN(len(names))]
			for range r.IntN(3) {
				p += "/" + names[r.IntN(len(names))]
			}
			return p
		}
		for i := range 700 {
			op, p, q, n := r.IntN(9), path(), path(), r.IntN(5000)
			e1, e2 := act(w.in, op, p, q, n), act(plain, op, p, q, n)
			if e1 != e2 && e1 != syscall.EXDEV {
				t.Fatalf("seed %d step %d: op %d %s %s: view %v, directory %v", seed, i, op, p, q, e1, e2)
			}
			if e1 == syscall.EXDEV && e2 == 0 { // as mv does
				undo(t, plain, w.in)
			}
		}
		if d := cmp.Diff(snapshot(t, plain), snapshot(t, w.in)); d != "" {
			t.Fatalf("seed %d: %s", seed, d)
		}
		var held []string
		filepath.WalkDir(w.host, func(p string, e fs.DirEntry, _ error) error {
			for _, n := range []string{".vscode", ".env", "x.pem", ".husky"} {
				if e.Name() == n {
					held = append(held, p)
				}
			}
			return nil
		})
		if held != nil {
			t.Errorf("held names on the host: %q", held)
		}
	}
}

// undo makes the plain directory what the view is, after a rename that the view may
// refuse.
func undo(t *testing.T, plain, in string) {
	ents, err := os.ReadDir(plain)
	must(t, err)
	for _, e := range ents {
		must(t, os.RemoveAll(filepath.Join(plain, e.Name())))
	}
	must(t, os.CopyFS(plain, os.DirFS(in)))
	must(t, filepath.WalkDir(in, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.Type()&fs.ModeSymlink != 0 {
			return err
		}
		i, err := e.Info()
		if err != nil || p == in {
			return err
		}
		rel, _ := filepath.Rel(in, p)
		return os.Chmod(filepath.Join(plain, rel), i.Mode())
	}))
}

func act(root string, op int, p, q string, n int) syscall.Errno {
	p, q = filepath.Join(root, p), filepath.Join(root, q)
	var err error
	switch op {
	case 0, 1:
		err = os.WriteFile(p, bytes.Repeat([]byte{byte('a' + n%26)}, n), 0o644)
	case 2:
		err = os.Mkdir(p, 0o755)
	case 3:
		err = syscall.Unlink(p)
	case 4:
		err = syscall.Rmdir(p)
	case 5:
		err = syscall.Rename(p, q)
	case 6:
		err = os.Truncate(p, int64(n))
	case 7:
		err = syscall.Chmod(p, []uint32{0o711, 0o744, 0o755, 0o700}[n%4])
	case 8:
		var f *os.File
		if f, err = os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0); err == nil {
			_, err = f.WriteString("more")
			f.Close()
		}
	}
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	if err != nil {
		return syscall.EIO
	}
	return 0
}

// TestOpenAndRemoved: a file that is removed or replaced while it is open stays
// usable, as everywhere.
func TestOpenAndRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{seed: func(h string) { write(t, h+"/f", "data"); write(t, h+"/.vscode/g", "data") }})
	for _, n := range []string{"f", ".vscode/g"} {
		f, err := os.OpenFile(w.in+"/"+n, os.O_RDWR, 0)
		must(t, err)
		must(t, os.Remove(w.in+"/"+n))
		b := make([]byte, 4)
		if _, err := f.ReadAt(b, 0); err != nil || string(b) != "data" {
			t.Errorf("%s after removal: %q %v", n, b, err)
		}
		if n == "f" {
			if _, err := f.WriteAt([]byte("DATA"), 0); err != nil {
				t.Errorf("write after removal: %v", err)
			}
			if i, err := f.Stat(); err != nil || i.Size() != 4 {
				t.Errorf("stat after removal: %v %v", i, err)
			}
		}
		f.Close()
	}
	if read(t, w.host+"/.vscode/g") != "data" {
		t.Error("a held file changed on the host")
	}
	write(t, w.in+"/a", "old a")
	write(t, w.in+"/b", "new b")
	f, err := os.Open(w.in + "/a")
	must(t, err)
	defer f.Close()
	must(t, os.Rename(w.in+"/b", w.in+"/a"))
	b := make([]byte, 5)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "old a" {
		t.Errorf("replaced file reads %q %v", b, err)
	}
	// Read-only from the start, as git writes objects.
	g, err := os.OpenFile(w.in+"/obj", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
	must(t, err)
	for i := range 100 {
		if _, err := fmt.Fprintln(g, i); err != nil {
			t.Fatal(err)
		}
	}
	must(t, g.Close())
}

// TestManyFiles: more files than descriptors, and a directory with 100 000 entries.
func TestManyFiles(t *testing.T) {
	entries, files := many(20_000, 100_000), many(4000, 12_000)
	w := newWorld(t, worldOptions{disk: 4 << 30, seed: func(h string) {
		must(t, os.Mkdir(h+"/big", 0o755))
		for i := range entries {
			f, err := os.Create(fmt.Sprintf("%s/big/file-with-a-name-%06d", h, i))
			must(t, err)
			f.Close()
		}
	}})
	ents, err := os.ReadDir(w.in + "/big")
	must(t, err)
	if len(ents) != entries || ents[entries-1].Name() != fmt.Sprintf("file-with-a-name-%06d", entries-1) {
		t.Errorf("%d entries", len(ents))
	}
	if out := w.sh(`find big -type f -newermt 2000-01-01 | wc -l; rm -rf big; ls`); strings.TrimSpace(out) != fmt.Sprint(entries) {
		t.Errorf("find: %q", out)
	}
	absent(t, w.host+"/big")
	// Every descriptor that the server may keep, and then some, written again.
	for round := range 2 {
		for i := range files {
			f, err := os.OpenFile(fmt.Sprintf("%s/s%05d", w.in, i), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
			must(t, err)
			_, err = fmt.Fprint(f, round)
			must(t, err)
			f.Close()
		}
	}
	for i := range files {
		if got := read(t, fmt.Sprintf("%s/s%05d", w.host, i)); got != "01" {
			t.Fatalf("s%05d is %q", i, got)
		}
	}
}

// TestOverflow loses events and finds everything all the same.
func TestOverflow(t *testing.T) {
	w := newWorld(t, worldOptions{seed: func(h string) {
		write(t, h+"/d/f", "old")
		write(t, h+"/d/sub/g", "old")
	}})
	w.sh(`ls d d/sub; cat d/f d/sub/g; test ! -e d/new`)
	must(t, w.server.process.Signal(syscall.SIGSTOP))
	w.onHost(`i=0; while [ $i -lt 20000 ]; do : > d/n$i; i=$((i+1)); done; echo new > d/f; rm -r d/sub; echo new > d/new`)
	must(t, w.server.process.Signal(syscall.SIGCONT))
	eventually(t, "the edit", func() bool { b, _ := os.ReadFile(w.in + "/d/f"); return string(b) == "new\n" })
	eventually(t, "the removal", func() bool { _, err := os.Lstat(w.in + "/d/sub/g"); return os.IsNotExist(err) })
	eventually(t, "the new file", func() bool { _, err := os.Lstat(w.in + "/d/new"); return err == nil })
	eventually(t, "the listing", func() bool { e, _ := os.ReadDir(w.in + "/d"); return len(e) == 20002 })
}

// TestStartFails says why.
func TestStartFails(t *testing.T) {
	p := planFor(t)
	write(t, p.Workspace.Shadow+"/format", "something else")
	_, err := Start(context.Background(), Options{Plan: p, Events: &sink{}})
	if err == nil || !strings.Contains(err.Error(), "not a shadow of this version") {
		t.Errorf("Start: %v", err)
	}
	p = planFor(t)
	p.Workspace.Hide = []belljar.Pattern{{Glob: "[z-a"}}
	if _, err := Start(context.Background(), Options{Plan: p, Events: &sink{}}); err == nil {
		t.Error("an impossible pattern was accepted")
	}
}
