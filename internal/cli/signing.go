package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/sshkey"
	"github.com/belljar-dev/belljar/plan"
	"github.com/belljar-dev/belljar/policy"
)

// signing makes the key with which git inside signs, where the policy says so, and tells its
// public half, for the forge. A sandbox whose HOME is kept keeps its key: its seed lies
// beside that HOME, where nothing inside reaches.
func (a *App) signing(p *prepared, look bool) error {
	if p.policy.Signs() != policy.SignSSH {
		return nil
	}
	key, kept, err := signingKey(p.facts, look)
	if err != nil {
		return &belljar.Error{Op: "make the sandbox's key for git", ID: p.facts.Name, Err: err, Hint: "git: {sign: none} does without"}
	}
	if look && !kept {
		return nil
	}
	comment := "belljar-" + p.facts.Name
	p.facts.Signing = key.Public(comment)
	if look {
		return nil
	}
	p.files[plan.SigningKey] = key.Private(comment)
	a.note("git inside signs as this sandbox: %s", p.facts.Signing)
	if !hasKeygen() {
		fmt.Fprintln(a.Err, "belljar: warning: git.sign needs ssh-keygen, which is not installed here: commits inside fail")
		fmt.Fprintln(a.Err, "belljar: hint: install OpenSSH's client, or say git: {sign: none}")
	}
	return nil
}

// hasKeygen says whether the system's folders, which are visible inside, have ssh-keygen.
func hasKeygen() bool {
	return slices.ContainsFunc([]string{"/usr/bin", "/usr/local/bin", "/bin"}, func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, "ssh-keygen"))
		return err == nil
	})
}

// signingKey is the key of a sandbox whose HOME is kept, else another one. With look none
// is written.
func signingKey(f *plan.Facts, look bool) (key sshkey.Key, kept bool, err error) {
	if !f.Named {
		return sshkey.New(), false, nil
	}
	file := plan.HomeDir(f) + ".signing-seed"
	seed, err := os.ReadFile(file)
	if err == nil {
		key, err = sshkey.FromSeed(seed)
		if err != nil {
			err = fmt.Errorf("%s: %w: remove it for another key", file, err)
		}
		return key, true, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return key, false, err
	}
	if key = sshkey.New(); look {
		return key, false, nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return key, false, err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".new-*") // 0600
	if err != nil {
		return key, false, err
	}
	_, err = tmp.Write(key.Seed())
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return key, false, err
}
