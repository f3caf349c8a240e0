package view

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReaderThatPauses: whoever stops reading a directory at a name that goes, or at
// one that has just come, sees all the others afterwards, although somebody else has
// read the directory meanwhile.
func TestReaderThatPauses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{seed: func(h string) {
		for i := range 100 {
			write(t, fmt.Sprintf("%s/d/keep%d", h, i), "")
		}
	}})
	for _, c := range []struct {
		name   string
		change func(last string, k int)
	}{
		{"removed inside", func(last string, _ int) { must(t, os.Remove(w.in+"/d/"+last)) }},
		{"removed on the host", func(last string, _ int) {
			must(t, os.Remove(w.host+"/d/"+last))
			eventually(t, "it is gone", func() bool { _, err := os.Lstat(w.in + "/d/" + last); return err != nil })
		}},
		{"renamed", func(last string, k int) { must(t, os.Rename(w.in+"/d/"+last, fmt.Sprintf("%s/d/x%d", w.in, k))) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			for k := range 5 {
				d, err := unix.Open(w.in+"/d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
				must(t, err)
				seen := map[string]bool{}
				last := readSome(t, d, seen, 8+k)
				was := len(listAll(t, w.in+"/d"))
				c.change(last, k)
				for range 2 { // the second reads what the kernel kept of the first
					listAll(t, w.in+"/d")
				}
				readSome(t, d, seen, 1<<20)
				unix.Close(d)
				if n := len(seen); n < was || n > was+1 {
					t.Errorf("%d of %d names were seen", n, was)
				}
				write(t, w.host+"/d/"+last, "")
				eventually(t, "it is back", func() bool { _, err := os.Lstat(w.in + "/d/" + last); return err == nil })
			}
		})
	}
}

func listAll(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	es, err := os.ReadDir(dir)
	must(t, err)
	return es
}

// readSome reads in small parts until it has seen n names that stay, or the end,
// and returns the last one.
func readSome(t *testing.T, d int, seen map[string]bool, n int) (last string) {
	t.Helper()
	for n > 0 {
		buf := make([]byte, 96)
		k, err := unix.ReadDirent(d, buf)
		must(t, err)
		if k == 0 {
			return last
		}
		_, _, names := unix.ParseDirent(buf[:k], -1, nil)
		for _, name := range names {
			seen[name] = true
			if strings.HasPrefix(name, "keep") {
				last = name
				n--
			}
		}
	}
	return last
}
