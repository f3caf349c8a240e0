package testenv

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
	"path/filepath"
	"testing"
)

// gitHTTPBackend is the name of git's own HTTP server, for [Need] too.
const gitHTTPBackend = "git-http-backend"

// gitBackend finds it where systems keep git's own programs.
func gitBackend() (string, error) {
	folders := []string{"/usr/lib/git-core", "/usr/libexec/git-core", "/usr/local/libexec/git-core"}
	for _, dir := range folders {
		p := filepath.Join(dir, gitHTTPBackend)
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("it is in none of %q", folders)
}

// ServeGit serves the repositories below root by git's own program, to anybody and for
// pushes too, with env added to its environment. It needs git-http-backend.
func ServeGit(t testing.TB, root string, env ...string) http.Handler {
	t.Helper()
	Need(t, gitHTTPBackend)
	backend, err := gitBackend()
	if err != nil {
		t.Fatal(err)
	}
	h := &cgi.Handler{Path: backend, Root: "/", Stderr: io.Discard, InheritEnv: []string{"PATH"}, Env: append([]string{
		"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=agent",
	}, env...)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body) // git-http-backend spins at the end of a body that broke off
		if err != nil {
			return
		}
		r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(b)), int64(len(b)), nil
		h.ServeHTTP(w, r)
	})
}
