package e2e

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestSetup: setup runs before the command, in order, once where HOME is kept; what it
// prints is not the command's; the first step that fails keeps the command from starting.
func TestSetup(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(w.home, "p.yaml")
	policy := func(lines string) { w.write(file, "version: 1\nsetup: {run: ["+lines+"]}\n") }
	run := func(flags ...string) result {
		return w.belljar(append(append([]string{"run", "--policy", file}, flags...), "--", "sh", "-c", `cat "$HOME/steps"; exit 5`)...)
	}
	policy(`"echo said; echo one >> $HOME/steps", "echo two >> $HOME/steps"`)
	for range 2 {
		r := run()
		if r.status != 5 || r.out != "one\ntwo\n" || !strings.Contains(r.errout, "said\n") {
			t.Errorf("a HOME of its own: %+v", r)
		}
	}
	for range 2 {
		if r := run("--name", "kept"); r.status != 5 || r.out != "one\ntwo\n" {
			t.Errorf("a HOME that is kept: %+v", r)
		}
	}
	policy(`"echo said; echo one >> $HOME/steps", "echo three >> $HOME/steps"`)
	if r := run("--name", "kept"); r.out != "one\ntwo\nthree\n" || strings.Contains(r.errout, "said") {
		t.Errorf("one step is new: %+v", r)
	}
	policy(`"echo last >> $HOME/steps", "exit 9", "echo never >> $HOME/steps"`)
	r := run("--name", "kept")
	if r.status != 125 || r.out != "" {
		t.Errorf("a step failed: %+v", r)
	}
	mustContain(t, "the error", r.errout, "exit 9", "exit status 9", "not started")
	policy(`"echo last >> $HOME/steps"`)
	if r := run("--name", "kept"); r.out != "one\ntwo\nthree\nlast\n" {
		t.Errorf("what ran before the failure runs no more: %+v", r)
	}
	// What a step leaves running neither keeps the command from starting nor outlives it.
	policy(`"sleep 1000 & echo left >> $HOME/steps"`)
	if r := run(); r.status != 5 || r.out != "left\n" {
		t.Errorf("a step left something: %+v", r)
	}
}

// TestSetupIsInterrupted: who asks for the end during setup gets it, and limits hold.
func TestSetupIsInterrupted(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(w.home, "p.yaml")
	w.write(file, "version: 1\nsetup: {run: [\"echo ready >&2; sleep 1000\"]}\n")
	r := w.belljar("run", "--policy", file, "--time", "2s", "--", "true")
	if r.status != 124 {
		t.Errorf("a limit: %+v", r)
	}
	both := filepath.Join(w.home, "both.yaml")
	w.write(both, "version: 1\nsetup: {run: [\"sleep 3\"]}\n")
	if r := w.belljar("run", "--policy", both, "--time", "4s", "--", "sleep", "3"); r.status != 124 {
		t.Errorf("a limit of both together: %+v", r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	c := w.cmd(ctx, "run", "--policy", file, "--", "echo", "started")
	errout, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	readUntil(t, errout, "ready\n")
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); c.ProcessState.ExitCode() != 125 {
		t.Error(err)
	}
}

// TestDevcontainer: variables and commands of a devcontainer.json are those of the run,
// what acts on the host is refused, and what is not honoured is said.
func TestDevcontainer(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(w.proj, ".devcontainer", "devcontainer.json")
	w.write(file, `// of the project
{
	"image": "x", "forwardPorts": [3000],
	"containerEnv": {"WHERE": "${containerWorkspaceFolder}", "TAKEN": "[${localEnv:AWS_SECRET_ACCESS_KEY}]", "PATH": "${containerEnv:PATH}:/opt/tools"},
	"postCreateCommand": {"a": "echo created >> $HOME/steps"}, "postStartCommand": ["sh", "-c", "echo started >> $HOME/steps"],
}`)
	line := []string{"--", "sh", "-c", `echo "$WHERE $TAKEN ${PATH##*:}"; cat "$HOME/steps"`}
	want := w.proj + " [] /opt/tools\ncreated\nstarted\n"
	r := w.belljar(append([]string{"run", "--devcontainer", "--name", "dev"}, line...)...)
	if r.status != 0 || r.out != want {
		t.Errorf("%+v", r)
	}
	mustContain(t, "the notes", r.errout, "image is not honoured", "publish: [3000]", "AWS_SECRET_ACCESS_KEY")
	mustLack(t, "everything", r.out+r.errout, envSecret)
	r = w.belljar(append([]string{"run", "--devcontainer=.devcontainer/devcontainer.json", "--name", "dev", "--env", "WHERE=mine"}, line...)...)
	if r.status != 0 || r.out != "mine [] /opt/tools\ncreated\nstarted\nstarted\n" {
		t.Errorf("the second run: %+v", r)
	}
	w.write(file, `{"containerEnv": {"TOK": "attackers", "MINE": "theirs", "FREE": "free"}}`)
	w.env = append(w.env, "TOK="+envSecret)
	w.write(filepath.Join(w.home, "p.yaml"), "version: 1\nnetwork: {allow: [api.example.com]}\nenv: {set: {MINE: mine}}\ncredentials: [{name: TOK, from: {env: TOK}, hosts: [api.example.com], header: bearer}]\n")
	r = w.belljar("run", "--devcontainer", "--policy", filepath.Join(w.home, "p.yaml"), "--", "sh", "-c", "echo $MINE $FREE $TOK")
	if !strings.HasPrefix(r.out, "mine free ") || strings.Contains(r.out, "attackers") {
		t.Errorf("a project says what the policy says: %+v", r)
	}
	mustContain(t, "the notes", r.errout, "TOK is not taken", "MINE is not taken")
	w.write(file, `{"initializeCommand": "touch `+w.home+`/ran", "runArgs": ["--privileged"]}`)
	r = w.belljar("run", "--devcontainer", "--", "true")
	if r.status != 126 {
		t.Errorf("%+v", r)
	}
	mustContain(t, "the refusal", r.errout, "initializeCommand", "runArgs")
	if w.exists(filepath.Join(w.home, "ran")) {
		t.Error("a command of the file ran on the host")
	}
}
