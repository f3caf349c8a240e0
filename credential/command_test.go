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
	want := []string{"PATH=/usr/bin:/bin", "PWD=/", "HOME=" + dir, "TOKEN=a=b", "EMPTY=", "LIKE=" + project + "x"}
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
		"PATH=/usr/bin:" + dir + "/bin:/bin", "BASH_ENV=" + dir + "/lib", "NODE_OPTIONS=--max-old-space-size=99 --require=" + dir + "/x.js", "HOME=/root",
	}}
	if got, want := h.environment(), []string{"PATH=/usr/bin:/bin", "HOME=/root"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestEnvironmentLoadsNothingOfTheProject: however a value names the project, what programs
// load by it is not the agent's.
func TestEnvironmentLoadsNothingOfTheProject(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	project := filepath.Join(dir, "src", "my project, new")
	if err := os.MkdirAll(project, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(dir, "l k")); err != nil {
		t.Fatal(err)
	}
	linked := filepath.Join(dir, "l k", "src", "my project, new")
	h := Host{Project: project, Writable: []string{"/w"}, Env: []string{"HOME=" + dir}}
	for _, gone := range []string{
		"PERL5OPT=-I" + project + " -Mx", "PERL5OPT=-I/w -Mx", "NODE_OPTIONS=-r/w/x.js", "NODE_OPTIONS=-r" + linked + "/x.js", "RUBYOPT=-I/w/lib -rx",
		"NODE_OPTIONS=--import=file://" + strings.ReplaceAll(project, " ", "%20") + "/x.mjs", "NODE_OPTIONS=--import=file://localhost/w/x.mjs",
		"X=" + project, "X='" + project + "'", "X=a," + linked, "X=$HOME/src/my project, new/x", "X=~/src/my project, new/x", "DIRENV_DIR=-/w", "X={/w}", "X=x/../w/y",
		"NODE_OPTIONS=-r ./x.js", "RUBYOPT=-I.", "RUBYOPT=-I../x", "BASH_ENV=./rc", "GIT_DIR=.", "GIT_EXEC_PATH=" + dir, "JAVA_TOOL_OPTIONS=-javaagent:" + project + "/x.jar", "OLDPWD=/tmp",
	} {
		h.Env = []string{"HOME=" + dir, gone}
		if got := h.environment(); len(got) != 1 {
			t.Errorf("%q stays", got[1:])
		}
	}
	for before, after := range map[string]string{
		"PYTHONPATH=" + project + "/lib:/opt/lib": "PYTHONPATH=/opt/lib", "PYTHONPATH=" + filepath.Dir(project): "PYTHONPATH=", "PYTHONPATH=.:x::/opt": "PYTHONPATH=/opt",
		"LD_LIBRARY_PATH=:/w:" + linked + ":/opt/lib": "LD_LIBRARY_PATH=/opt/lib", "LD_LIBRARY_PATH=/opt;/w": "LD_LIBRARY_PATH=",
		"PATH=" + dir + ":.:/bin": "PATH=" + dir + ":/bin", "PWD=/tmp": "PWD=/",
	} {
		h.Env = []string{before}
		if got := h.environment(); len(got) != 1 || got[0] != after {
			t.Errorf("%q became %q, want %q", before, got, after)
		}
	}
	for _, stays := range []string{
		"X=/work", "X=/home/w/x", "X=/home/u/w", "X=/w.bak", "X=https://example.com/a/w", "NODE_OPTIONS=--max-old-space-size=99 -r /opt/x.js", "RUBYOPT=-W0", "GIT_AUTHOR_NAME=A. B",
		"LS_COLORS=*.tar=01;31:*.w=01;32", "X=" + project + "er", "GIT_CONFIG_GLOBAL=" + dir + "/.gitconfig", "X=" + dir,
	} {
		h.Env = []string{stays}
		if got := h.environment(); len(got) != 1 || got[0] != stays {
			t.Errorf("%q became %q", stays, got)
		}
	}
}

// TestSourceBehindLinks: a link on the way that lies in the project makes a source unfit,
// wherever it leads.
func TestSourceBehindLinks(t *testing.T) {
	dir := t.TempDir()
	host := Host{Project: filepath.Join(dir, "project"), Env: []string{"PATH=/usr/bin:/bin"}}
	if err := os.Mkdir(host.Project, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "token"), "value-of-the-token", 0o600)
	for link, to := range map[string]string{"project/via": "../token", "key": "project/via"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	key := filepath.Join(dir, "key")
	for _, src := range []belljar.CredentialSource{{File: key}, {Command: []string{"cat", key}}} {
		_, k, err := Make(t.Context(), []belljar.Credential{from("KEY", src)}, host)
		if err == nil || !strings.Contains(err.Error(), "sandbox can write") {
			t.Errorf("%+v: %v", src, err)
		}
		if k != nil {
			_ = k.Close()
		}
	}
}
