package verify

import (
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// openObjects lists what the descriptors of every process of this world are, each
// kind once, with one that is it. A sandbox with a kernel of its own has hundreds of
// processes whose tables are copies of one another: a quarter of a million
// descriptors, each of which is asked, because the one that matters may be in any.
func openObjects() map[string]string {
	all, _ := filepath.Glob("/proc/[0-9]*/fd")
	next := make(chan string)
	out := map[string]string{}
	var mu sync.Mutex
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for dir := range next {
				found := map[string]string{}
				openIn(dir, found)
				mu.Lock()
				for to, at := range found {
					out[to] = at
				}
				mu.Unlock()
			}
		})
	}
	for _, dir := range all {
		next <- dir
	}
	close(next)
	wait.Wait()
	return out
}

// openIn adds what the descriptors in dir, of one process, are. Links are read
// relative to it, so that the process is found once and not for each.
func openIn(dir string, out map[string]string) {
	d, err := os.Open(dir)
	if err != nil {
		return // gone, or not ours
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1) // those that were read before an error count
	b := make([]byte, unix.PathMax)
	for _, name := range names {
		n, err := unix.Readlinkat(int(d.Fd()), name, b)
		if err != nil {
			continue // closed meanwhile
		}
		if _, ok := out[string(b[:n])]; !ok {
			out[string(b[:n])] = dir + "/" + name
		}
	}
}
