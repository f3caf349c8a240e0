package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProgram: what is run on the host is the system's, whatever a project puts before it.
func TestProgram(t *testing.T) {
	dir := t.TempDir()
	own := filepath.Join(dir, "true")
	if err := errors.Join(os.WriteFile(own, []byte("#!/bin/sh\n"), 0o755), os.Symlink("true", filepath.Join(dir, "other"))); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	if at, err := program("true"); err != nil || strings.HasPrefix(at, dir) {
		t.Error(at, err)
	}
	if at, err := program("other"); err == nil || !strings.Contains(err.Error(), "not the system's") {
		t.Error(at, err)
	}
	if at, err := program("not-there"); err == nil || !strings.Contains(err.Error(), "not on PATH") {
		t.Error(at, err)
	}
}
