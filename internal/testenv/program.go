package testenv

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Program tells the cache of go test what the result of a test rests on that starts
// belljar as a program: its sources, and what in the environment chooses program and tier.
// Of a program that is started the cache knows nothing: a test would pass that was run
// before the program changed. It is to be called while tests run; what happens before
// m.Run is not noted.
var Program = sync.OnceFunc(func() {
	for _, n := range []string{"BELLJAR", "BELLJAR_TEST_TIER", "BELLJAR_SOAK", "BELLJAR_REQUIRE", "BELLJAR_USER_RUN"} {
		if v := os.Getenv(n); n == "BELLJAR" && v != "" {
			_, _ = os.Stat(v)
		}
	}
	dir, err := os.Getwd()
	for err == nil && dir != "/" {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	// The list of a folder, with sizes and times of the files in it, is part of the result's key.
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != dir && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin" || d.Name() == "man") {
			return fs.SkipDir
		}
		return nil // a folder that cannot be read has no sources
	})
})
