package credential

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// TestEnvironment: a command is given nothing that leads into the project.
func TestEnvironment(t *testing.T) {
	dir := t.TempDir()
	project := filepath.Join(dir, "p")
	if err := os.Mkdir(project, 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "l")
	if err := os.Symlink(project, link); err != nil {
		t.Fatal(err)
	}
	h := Host{Project: project, Env: []string{
		"PATH=/usr/bin:" + project + "/bin:./bin::" + link + "/:/bin", "PWD=" + link, "NODE_OPTIONS=--require=" + project + "/x.js", "LD_PRELOAD=a:" + project + "/../p/x.so",
		"HOME=" + dir, "TOKEN=a=b", "EMPTY=", "LIKE=" + project + "x",
	}}
	want := []string{"PATH=/usr/bin:/bin", "HOME=" + dir, "TOKEN=a=b", "EMPTY=", "LIKE=" + project + "x"}
	if got := h.environment(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestCommandNames: what a command names lies neither in the project nor where the sandbox
// may write, however it names it.
func TestCommandNames(t *testing.T) {
	dir := t.TempDir()
	host := Host{Project: filepath.Join(dir, "a project"), Writable: []string{filepath.Join(dir, "reports")}}
	for _, d := range append(host.Writable, host.Project, filepath.Join(dir, "bin")) {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(host.Writable[0], link); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(host.Writable[0], "tool"), "#!/bin/sh\necho value-of-the-token\n", 0o755)
	host.Env = []string{"PATH=" + host.Writable[0] + ":" + os.Getenv("PATH"), "HOME=" + dir, "WHERE=" + host.Writable[0]}
	in, up := host.Writable[0], strings.Repeat("../", 30)
	for _, refused := range [][]string{
		{"sh", in + "/tok.sh"},                            // also one that is not there yet
		{"sh", host.Project + "/tok.sh"},                  // with a space
		{"sh", in[1:] + "/tok.sh"},                        // relative to /, where it runs
		{"sh", up + in[1:] + "/tok.sh"},                   //
		{"sh", "/usr/../" + in + "/tok.sh"},               //
		{"sh", link + "/tok.sh"},                          //
		{"printf", "value-of-the-token", "--x=" + in},     // behind an equals sign
		{"printf", "value-of-the-token", "-I" + in},       // behind an option's letter
		{"printf", "value-of-the-token", "--x=" + in[1:]}, //
		{"printf", "value-of-the-token", "file://" + in},  //
		{"printf", "value-of-the-token", "@" + in + "/x"}, //
		{"sh", "-c", "echo value-of-the-token; . '" + host.Project + "/x'"},
		{"sh", "-c", `echo value-of-the-token; . "$WHERE/x"`},
		{"sh", "-c", "echo value-of-the-token; . ~/reports/x"},
		{"sh", "-c", "echo value-of-the-token>" + in + "/x"},
		{in + "/tool"},
		{link + "/tool"},
	} {
		_, k, err := Make(t.Context(), []belljar.Credential{from("KEY", belljar.CredentialSource{Command: refused})}, host)
		if err == nil || !strings.Contains(err.Error(), "sandbox can write") {
			t.Errorf("%q: %v", refused, err)
		}
		if k != nil {
			_ = k.Close()
		}
	}
	for _, fine := range [][]string{
		{"printf", "value-of-the-token", "op://reports/x", "--x=y", dir + "/reportsx", dir + "/bin"},
		{"sh", "-c", `test "$WHERE$(command -v tool)" = "" && echo value-of-the-token`},
	} {
		made, k, err := Make(t.Context(), []belljar.Credential{from("KEY", belljar.CredentialSource{Command: fine})}, host)
		if err != nil {
			t.Errorf("%q: %v", fine, err)
			continue
		}
		if got := sends(t, k, made[0]); got != "value-of-the-token" {
			t.Errorf("%q sends %q", fine, got)
		}
		_ = k.Close()
	}
}

// TestEnvironmentOfWritableFolders: nor is it given what leads to those.
func TestEnvironmentOfWritableFolders(t *testing.T) {
	dir := t.TempDir()
	h := Host{Writable: []string{dir}, Env: []string{
		"PATH=/usr/bin:" + dir + "/bin:/bin", "PYTHONPATH=" + dir + "/lib", "NODE_OPTIONS=--max-old-space-size=99 --require=" + dir + "/x.js", "HOME=/root",
	}}
	if got, want := h.environment(), []string{"PATH=/usr/bin:/bin", "HOME=/root"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
