package limit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, path string, size int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil { // so that its blocks are allocated
		t.Fatal(err)
	}
}

func usageOf(t *testing.T, root string) int64 {
	t.Helper()
	n, err := DiskUsage(root)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDiskUsage(t *testing.T) {
	const mib = 1 << 20
	root, outside := t.TempDir(), t.TempDir()
	empty := usageOf(t, root)
	write(t, filepath.Join(outside, "big"), 8*mib)
	write(t, filepath.Join(root, "a/b/c"), 3*mib)
	if err := os.Link(filepath.Join(root, "a/b/c"), filepath.Join(root, "hard")); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"link": outside, "file": filepath.Join(outside, "big"), "loop": "loop", "up": ".."} {
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	sparse, err := os.Create(filepath.Join(root, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer sparse.Close()
	if err := sparse.Truncate(1 << 40); err != nil {
		t.Fatal(err)
	}
	if n := usageOf(t, root) - empty; n < 3*mib || n > 3*mib+256<<10 {
		t.Errorf("%d bytes, want a little over 3 MiB", n)
	}
	if _, err := DiskUsage(filepath.Join(root, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing root: %v", err)
	}
	if _, err := DiskUsage(filepath.Join(root, "link")); err == nil {
		t.Error("a root that is a link was followed")
	}
}

func TestDiskUsageHidden(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("root may read every folder; the depth is tried only")
	} else {
		root := t.TempDir()
		closed := filepath.Join(root, "closed")
		if err := os.Mkdir(closed, 0o300); err != nil {
			t.Fatal(err)
		}
		if _, err := DiskUsage(root); !errors.Is(err, ErrUncountable) {
			t.Errorf("a closed folder: %v", err)
		}
	}
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, strings.Repeat("d/", 300)), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := DiskUsage(root); !errors.Is(err, ErrUncountable) {
		t.Errorf("a deep tree: %v", err)
	}
}

// What is hidden from the count shows in what the file system lost.
func TestDiskCounter(t *testing.T) {
	const mib = 1 << 20
	root := t.TempDir()
	write(t, filepath.Join(root, "before"), mib)
	c, err := NewDiskCounter(root, filepath.Join(root, "missing"))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.Added(); n != 0 || err != nil {
		t.Errorf("nothing added: %d, %v", n, err)
	}
	write(t, filepath.Join(root, "after"), 4*mib)
	if n, err := c.Added(); n < 4*mib || n > 5*mib || err != nil {
		t.Errorf("4 MiB added: %d, %v", n, err)
	}
	if err := os.Remove(filepath.Join(root, "before")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(root, "after")); err != nil {
		t.Fatal(err)
	}
	// The file system may tell of freed blocks later than of taken ones.
	deadline := time.Now().Add(2 * time.Minute)
	n, err := c.Added()
	for ; n != 0 && time.Now().Before(deadline); n, err = c.Added() {
		write(t, filepath.Join(t.TempDir(), "x"), mib)
	}
	if n != 0 || err != nil {
		t.Errorf("all removed: %d, %v", n, err)
	}
	deep := filepath.Join(root, strings.Repeat("d/", 300))
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	const lost = 1 << 50
	c.first[root] = c.free[root] + lost // others write to and free from the disk as well
	for range 2 {
		write(t, filepath.Join(deep, "hidden"), mib)
		if n, err := c.Added(); n < lost/2 || err != nil {
			t.Errorf("written where the count does not reach: %d, %v", n, err)
		}
	}
}
