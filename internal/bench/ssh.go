package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// sshTrue times a command by OpenSSH in a running sandbox, beside the same command by
// belljar exec: the difference is ssh, its greeting and its server.
func sshTrue(b *bench) (float64, float64, string, string, error) {
	dir, err := b.tree(1)
	if err != nil {
		return 0, 0, "", "", err
	}
	conf := filepath.Join(b.dir, "ssh-config")
	if out, err := exec.Command(b.belljar, "ssh-config", "--file", conf).CombinedOutput(); err != nil {
		return 0, 0, "", "", fmt.Errorf("%w: %s", err, out)
	}
	name := fmt.Sprintf("bench-%d", os.Getpid())
	box := exec.Command(b.start()[0], b.start("--name", name, "--", "sh", "-c", "echo ready; cat")[1:]...)
	box.Dir = dir
	in, err := box.StdinPipe()
	if err != nil {
		return 0, 0, "", "", err
	}
	out, err := box.StdoutPipe()
	if err != nil {
		return 0, 0, "", "", err
	}
	var errout bytes.Buffer
	box.Stderr = &errout
	if err := box.Start(); err != nil {
		return 0, 0, "", "", err
	}
	defer func() {
		_ = in.Close()
		_ = box.Wait()
	}()
	if _, err := out.Read(make([]byte, 6)); err != nil {
		return 0, 0, "", "", fmt.Errorf("%w: %s", err, errout.String())
	}
	ours, theirs, err := b.compare(dir, []string{"ssh", "-F", conf, name + ".belljar", "true"}, []string{b.belljar, "exec", name, "--", "true"})
	return ours, theirs, "ms", "belljar exec", err
}
