package policy

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestTrust(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenTrust(dir)
	if err != nil {
		t.Fatal(err)
	}
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	if s.Trusted("/p", a) {
		t.Error("trusted from the beginning")
	}
	if err := s.Trust("/p", a); err != nil {
		t.Fatal(err)
	}
	again, err := OpenTrust(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !again.Trusted("/p", a) || again.Trusted("/p", b) || again.Trusted("/p2", a) || again.Trusted("/p/", a) || again.Trusted("/p", "") || again.Trusted("", a) {
		t.Error("another path or hash is trusted")
	}
	if err := s.Trust("/p", b); err != nil {
		t.Fatal(err)
	}
	if s.Trusted("/p", a) || !s.Trusted("/p", b) {
		t.Error("an earlier version is still trusted")
	}
	if err := s.Revoke("/p"); err != nil || s.Trusted("/p", b) {
		t.Errorf("revoked, but trusted: %v", err)
	}
	if err := s.Revoke("/p"); err != nil {
		t.Error(err)
	}
	for _, bad := range [][2]string{{"p", a}, {"/p/../q", a}, {"/p/", a}, {"/p", "x"}, {"/p", strings.ToUpper(a)}, {"/p", a + "/"}, {"", a}} {
		if err := s.Trust(bad[0], bad[1]); err == nil {
			t.Errorf("trusted %q", bad)
		}
	}
}

func TestTrustFilesArePrivate(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenTrust(dir)
	if err != nil {
		t.Fatal(err)
	}
	hash := strings.Repeat("a", 64)
	if err := s.Trust("/p", hash); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "trust"))
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v %v", entries, err)
	}
	fi, err := entries[0].Info()
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", fi.Mode(), err)
	}
	file := s.file("/p")
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	if s.Trusted("/p", hash) {
		t.Error("an entry that others can write to is believed")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(dir, "elsewhere")
	if err := os.WriteFile(elsewhere, []byte(`{"path":"/p","hash":"`+hash+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, file); err != nil {
		t.Fatal(err)
	}
	if s.Trusted("/p", hash) {
		t.Error("an entry that is a link is believed")
	}
	if err := s.Trust("/p", hash); err != nil || !s.Trusted("/p", hash) {
		t.Errorf("a link is not replaced: %v", err)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s.Trusted("/p", hash) {
		t.Error("a broken entry is believed")
	}
}

func TestTrustStoreMustBeOurs(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenTrust(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "trust"), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTrust(dir); err == nil {
		t.Error("a store that others can write to is opened")
	}
	other := t.TempDir()
	if err := os.Symlink(t.TempDir(), filepath.Join(other, "trust")); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTrust(other); err == nil {
		t.Error("a store that is a link is opened")
	}
}

// Whoever reads while others write sees an entry whole.
func TestTrustIsAtomic(t *testing.T) {
	s, err := OpenTrust(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	hash := strings.Repeat("a", 64)
	if err := s.Trust("/p", hash); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for range 20 {
				if err := s.Trust("/p", hash); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for {
		if !s.Trusted("/p", hash) {
			t.Fatal("an entry was not there while it was replaced")
		}
		select {
		case <-done:
			return
		default:
		}
	}
}
