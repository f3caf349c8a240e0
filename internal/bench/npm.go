package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
)

const (
	packages     = 60
	packageFiles = 40
)

// npmCI installs packages that this process serves, with an empty cache.
func npmCI(b *bench) (float64, float64, string, string, error) {
	tarballs := map[string][]byte{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := tarballs[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(body)
	}))
	defer srv.Close()
	addr := localhost(srv.Listener)
	type locked struct {
		Version      string            `json:"version,omitempty"`
		Resolved     string            `json:"resolved,omitempty"`
		Integrity    string            `json:"integrity,omitempty"`
		Dependencies map[string]string `json:"dependencies,omitempty"`
	}
	needs := map[string]string{}
	lock := map[string]locked{"": {Version: "1.0.0", Dependencies: needs}}
	for i := range packages {
		name := fmt.Sprintf("part%d", i)
		body, err := tarball(name)
		if err != nil {
			return 0, 0, "", "", err
		}
		path := "/" + name + ".tgz"
		tarballs[path] = body
		sum := sha512.Sum512(body)
		needs[name] = "1.0.0"
		lock["node_modules/"+name] = locked{Version: "1.0.0", Resolved: "http://" + addr + path, Integrity: "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}
	}
	dir := filepath.Join(b.dir, "npm")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, 0, "", "", err
	}
	for name, v := range map[string]any{
		"package.json":      map[string]any{"name": "whole", "version": "1.0.0", "dependencies": needs},
		"package-lock.json": map[string]any{"name": "whole", "version": "1.0.0", "lockfileVersion": 3, "packages": lock},
	} {
		text, err := json.Marshal(v)
		if err != nil {
			return 0, 0, "", "", err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return 0, 0, "", "", err
		}
	}
	few := *b
	few.rounds = 5
	line := "c=$(mktemp -d); npm ci --cache $c --registry http://" + addr + " --no-audit --no-fund --no-update-notifier || exit 1; rm -rf $c"
	ours, theirs, err := few.inside(dir, line, "--allow", addr)
	return ours, theirs, "ms", "the same on the host", err
}

// tarball is a package as npm downloads it.
func tarball(name string) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	t := tar.NewWriter(z)
	files := map[string]string{"package.json": fmt.Sprintf(`{"name":%q,"version":"1.0.0"}`, name)}
	for i := range packageFiles {
		files[fmt.Sprintf("lib/d%d/f%d.js", i%7, i)] = strings.Repeat("module.exports = 1;\n", 20+i)
	}
	for path, text := range files {
		if err := t.WriteHeader(&tar.Header{Name: "package/" + path, Mode: 0o644, Size: int64(len(text))}); err != nil {
			return nil, err
		}
		if _, err := t.Write([]byte(text)); err != nil {
			return nil, err
		}
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
