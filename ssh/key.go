package ssh

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

// The files of [HostKey] in its folder.
const (
	keyFile        = "host_ed25519"
	knownHostsFile = "known_hosts"
	maxKey         = 16 << 10
)

// Domain is what the names of sandboxes end with for ssh.
const Domain = ".belljar"

// KnownHosts is the file in dir by which ssh knows the key of every sandbox.
func KnownHosts(dir string) string { return filepath.Join(dir, knownHostsFile) }

// HostKey is the key by which ssh recognises the user's sandboxes: it is made the first
// time, in a file that only its owner may read, and written into [KnownHosts] for ssh.
// Two processes that need it at once get the same. A key that others may read or that is
// broken is an error.
func HostKey(dir string) (ssh.Signer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, keyFile)
	key, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeKey(dir, path); err == nil {
			key, err = readKey(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the key of your sandboxes for ssh: %w", err)
	}
	line := append([]byte("*"+Domain+" "), ssh.MarshalAuthorizedKey(key.PublicKey())...)
	if old, err := os.ReadFile(KnownHosts(dir)); err == nil && bytes.Equal(old, line) {
		return key, nil
	}
	return key, replace(KnownHosts(dir), line)
}

func readKey(path string) (ssh.Signer, error) {
	st, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Mode().Perm()&0o077 != 0 || st.Size() > maxKey {
		return nil, fmt.Errorf("%q is no file that only you may read: remove it, and a new one is made", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(b)
	if err != nil || key.PublicKey().Type() != ssh.KeyAlgoED25519 {
		return nil, fmt.Errorf("%q holds no key of ours: remove it, and a new one is made", path)
	}
	return key, nil
}

// makeKey makes the key, unless another process is faster.
func makeKey(dir, path string) error {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(key, "belljar")
	if err != nil {
		return err
	}
	tmp, err := temporary(dir, pem.EncodeToMemory(block))
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if err := os.Link(tmp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// replace writes a file, which is there as a whole, the old one or the new one, at every
// moment, and readable for its owner only.
func replace(path string, content []byte) error {
	tmp, err := temporary(filepath.Dir(path), content)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		_ = os.Remove(tmp)
		return err
	}
	if d, err := os.Open(filepath.Dir(path)); err == nil {
		_ = d.Sync() // the content is safe; the name may be late
		_ = d.Close()
	}
	return nil
}

// temporary writes a new file of mode 0600 in dir.
func temporary(dir string, content []byte) (string, error) {
	f, err := os.CreateTemp(dir, ".belljar-ssh-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}
