package view

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A file that goes into the shadow leaves its inode number to the next one on the host.
// While the sandbox's kernel knows the first by that number, the next has another: a
// kernel that goes by numbers (gVisor's) would write to the one what it knows of the other.
func TestNumbersAreOfOneFile(t *testing.T) {
	w := newWorld(t, worldOptions{})
	number := func(name string) uint64 {
		t.Helper()
		var st unix.Stat_t
		must(t, unix.Lstat(w.in+"/"+name, &st))
		return st.Ino
	}
	reused := false
	for range 20 { // until the host gives the number out again
		w.sh(`rm -f .envrc b; echo one > a`)
		hold, err := os.Open(w.in + "/a") // the kernel knows it from here on
		must(t, err)
		first := number("a")
		w.sh(`mv a .envrc; echo two > b`)
		if n := number(".envrc"); n != first {
			t.Errorf("the number of a changed with its name, from %d to %d", first, n)
		}
		var st unix.Stat_t
		must(t, unix.Lstat(w.host+"/b", &st))
		if number("b") == first {
			t.Errorf("two files have the number %d", first)
		}
		entries := w.sh(`ls -i .envrc b; ls -Ai`)
		hold.Close()
		if st.Ino == first {
			reused = true
			t.Log(entries)
			break
		}
	}
	if !reused {
		t.Skip("this file system does not give numbers out again")
	}
}
