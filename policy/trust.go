package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A Trust is the user's memory of which projects' policy files were read and
// accepted. It is a folder with one small file per project; its methods are safe
// for concurrent use, also by several processes.
type Trust struct{ dir string }

// A trusted is one file of the store.
type trusted struct {
	Path string    `json:"path"` // the project's real path
	Hash string    `json:"hash"` // SHA-256 of its policy file
	Time time.Time `json:"time"`
}

// OpenTrust opens the store below belljar's state folder and makes it when it is
// not there. A folder that others can write to is refused.
func OpenTrust(stateDir string) (*Trust, error) {
	dir := filepath.Join(stateDir, "trust")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open trust store: %w", err)
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("open trust store: %w", err)
	}
	if !fi.IsDir() {
		return nil, fmt.Errorf("open trust store: %q is not a folder", dir)
	}
	if err := checkMine(fi); err != nil {
		return nil, fmt.Errorf("open trust store %q: %w", dir, err)
	}
	return &Trust{dir: dir}, nil
}

// checkMine refuses a file of the store that somebody else could have written.
func checkMine(fi fs.FileInfo) error {
	if u, ok := owner(fi); !ok || u != os.Geteuid() {
		return errors.New("it belongs to somebody else")
	}
	if fi.Mode().Perm()&0o022 != 0 {
		return errors.New("others can write to it")
	}
	return nil
}

// file is where a project's entry lies.
func (t *Trust) file(realPath string) string {
	h := sha256.Sum256([]byte(realPath))
	return filepath.Join(t.dir, hex.EncodeToString(h[:])+".json")
}

// Trusted says whether the policy file of the project at realPath was trusted with
// exactly this hash. Every doubt, also a store that cannot be read, is a no.
func (t *Trust) Trusted(realPath, hash string) bool {
	data, fi, err := readFile(t.file(realPath), false)
	if err != nil || checkMine(fi) != nil {
		return false
	}
	var e trusted
	if json.Unmarshal(data, &e) != nil {
		return false
	}
	return validHash(hash) && e.Path == realPath && e.Hash == hash
}

// Trust remembers the hash for the project at realPath, in place of an earlier one.
// The entry is either written whole or not at all, and on disk when Trust returns.
func (t *Trust) Trust(realPath, hash string) error {
	if !filepath.IsAbs(realPath) || filepath.Clean(realPath) != realPath {
		return fmt.Errorf("trust %q: not a real path", realPath)
	}
	if !validHash(hash) {
		return fmt.Errorf("trust %q: %q is not a hash", realPath, hash)
	}
	data, err := json.Marshal(trusted{realPath, hash, time.Now().UTC()})
	if err != nil {
		return fmt.Errorf("trust %q: %w", realPath, err)
	}
	if err := t.write(t.file(realPath), append(data, '\n')); err != nil {
		return fmt.Errorf("trust %q: %w", realPath, err)
	}
	return nil
}

// Revoke forgets the project at realPath; one that was not trusted is no error.
func (t *Trust) Revoke(realPath string) error {
	if err := os.Remove(t.file(realPath)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("revoke trust in %q: %w", realPath, err)
	}
	return nil
}

// write replaces a file atomically.
func (t *Trust) write(name string, data []byte) error {
	f, err := os.CreateTemp(t.dir, ".new-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	d, err := os.Open(t.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func validHash(s string) bool {
	return len(s) == 2*sha256.Size && strings.Trim(s, "0123456789abcdef") == ""
}
