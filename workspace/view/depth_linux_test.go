package view

import (
	"errors"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"golang.org/x/sys/unix"
)

// descend makes folders of that name in each other below the folder dir and gives a
// descriptor of the last one, and how many there are: up to n, or to the first refusal.
func descend(t testing.TB, dir, name string, n int) (last, made int, refusal error) {
	t.Helper()
	at, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	for made < n {
		if refusal = unix.Mkdirat(at, name, 0o755); refusal != nil {
			break
		}
		next, err := unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		must(t, err)
		must(t, unix.Close(at))
		at = next
		made++
	}
	t.Cleanup(func() { unix.Close(at) })
	return at, made, refusal
}

// TestDepthIsBounded: a loop of mkdir and cd ends, wherever what it makes would lie, and
// nothing else gets any deeper.
func TestDepthIsBounded(t *testing.T) {
	t.Parallel()
	for _, mode := range []belljar.Mode{belljar.ModeLive, belljar.ModeReview} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldOptions{mode: mode, seed: func(h string) { write(t, h+"/old", "old") }})
			last, made, err := descend(t, w.in, "a", 3000)
			if made != maxDepth || err != unix.ENAMETOOLONG {
				t.Errorf("%d folders and then %v, want %d and ENAMETOOLONG", made, err, maxDepth)
			}
			root, err := unix.Open(w.in, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			must(t, err)
			defer unix.Close(root)
			for what, err := range map[string]error{
				"symlink": unix.Symlinkat("x", last, "l"),
				"mknod":   unix.Mknodat(last, "f", unix.S_IFREG|0o644, 0),
				"fifo":    unix.Mknodat(last, "p", unix.S_IFIFO|0o644, 0),
				"link":    unix.Linkat(root, "old", last, "o", 0),
				"rename":  unix.Renameat(root, "old", last, "o"),
			} {
				if err != unix.ENAMETOOLONG && !(what == "link" && mode == belljar.ModeReview && err == unix.EXDEV) {
					t.Errorf("%s below the bound: %v, want ENAMETOOLONG", what, err)
				}
			}
			if fd, err := unix.Openat(last, "c", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644); err != unix.ENAMETOOLONG {
				unix.Close(fd)
				t.Errorf("create below the bound: %v, want ENAMETOOLONG", err)
			}
			_, made, err = descend(t, w.in, strings.Repeat("n", 250), 100)
			if made*251-1 > maxPath || (made+1)*251-1 <= maxPath || err != unix.ENAMETOOLONG {
				t.Errorf("%d folders of long names and then %v", made, err)
			}
			w.sh(`mkdir -p b/c; echo x > b/c/f; cat b/c/f old; rm -r a`)
		})
	}
}

// TestRenameStaysInBounds: a folder is moved together with all that is in it.
func TestRenameStaysInBounds(t *testing.T) {
	t.Parallel()
	for _, mode := range []belljar.Mode{belljar.ModeLive, belljar.ModeReview} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldOptions{mode: mode})
			half, _, _ := descend(t, w.in, "a", maxDepth/2)
			descend(t, w.in, "b", maxDepth/2)
			w.sh(`mkdir c`)
			_, made, _ := descend(t, w.in+"/c", strings.Repeat("n", 200), 100)
			if made != maxPath/201 {
				t.Errorf("%d folders of long names", made)
			}
			root, err := unix.Open(w.in, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			must(t, err)
			defer unix.Close(root)
			if err := unix.Renameat(root, "b", half, "b"); err != nil {
				t.Errorf("a rename to the bound: %v", err)
			}
			must(t, unix.Renameat(half, "b", root, "b")) // back up
			must(t, unix.Mkdirat(half, "x", 0o755))
			if err := unix.Renameat(root, "b", half, "x/b"); err != unix.ENAMETOOLONG {
				t.Errorf("a rename over the bound: %v, want ENAMETOOLONG", err)
			}
			if err := unix.Renameat(root, "c", root, strings.Repeat("c", 200)); err != unix.ENAMETOOLONG {
				t.Errorf("a rename to longer paths: %v, want ENAMETOOLONG", err)
			}
			w.sh(`test -d b/b/b; mv c d; test -d d`)
		})
	}
}

// TestDeepOnTheHost: what the host has deeper than the sandbox may build can be read,
// changed and removed.
func TestDeepOnTheHost(t *testing.T) {
	t.Parallel()
	const levels = 2 * maxDepth
	deep := strings.Repeat("h/", levels)
	w := newWorld(t, worldOptions{seed: func(h string) { write(t, h+"/"+deep+"f", "deep") }})
	if got := read(t, w.in+"/"+deep+"f"); got != "deep" {
		t.Errorf("it holds %q", got)
	}
	w.sh(`echo more >> ` + deep + `f`)
	if got := read(t, w.host+"/"+deep+"f"); got != "deepmore\n" {
		t.Errorf("the host has %q", got)
	}
	if err := unix.Mkdir(w.in+"/"+deep+"new", 0o755); !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("mkdir: %v, want ENAMETOOLONG", err)
	}
	w.sh(`mv ` + deep + `f . ; cat f; rm -r h`)
	absent(t, w.host+"/h")
}
