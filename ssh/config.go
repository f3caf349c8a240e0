package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Marks of our block in a configuration of ssh.
const (
	blockBegin = "# >>> belljar ssh-config >>>"
	blockEnd   = "# <<< belljar ssh-config <<<"
)

// Client says how ssh comes to this program.
type Client struct {
	Program    string // path of belljar
	KnownHosts string // see [KnownHosts]
}

// Options are the settings of ssh for a sandbox, one per line as ssh's configuration has
// them, NAME being what ssh replaces by the name it was called with. Nothing of the
// user's is read, offered or asked for: no key, no agent, no password.
func (c Client) Options() ([]string, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	percent := strings.NewReplacer("%", "%%")
	program := "'" + strings.ReplaceAll(percent.Replace(c.Program), "'", `'\''`) + "'"
	return []string{
		// Quoted for the shell that ssh starts; names with a quote are no names of ours.
		"ProxyCommand " + program + " ssh --stdio '%n'",
		"User belljar",
		`UserKnownHostsFile "` + percent.Replace(c.KnownHosts) + `"`,
		"GlobalKnownHostsFile /dev/null",
		"HostKeyAlgorithms ssh-ed25519",
		"StrictHostKeyChecking yes",
		"UpdateHostKeys no",
		"CheckHostIP no",
		"Ciphers aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr",
		"PubkeyAuthentication no",
		"PasswordAuthentication no",
		"KbdInteractiveAuthentication no",
		"GSSAPIAuthentication no",
		"HostbasedAuthentication no",
		"IdentityAgent none",
		"IdentitiesOnly yes",
		"ForwardAgent no",
		"ForwardX11 no",
		"SendEnv LANG LC_* COLORTERM",
	}, nil
}

// check refuses paths that ssh's configuration cannot carry.
func (c Client) check() error {
	for _, p := range []string{c.Program, c.KnownHosts} {
		if !filepath.IsAbs(p) || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("ssh cannot be told of %q: it is no absolute path without control characters", p)
		}
	}
	if strings.ContainsAny(c.KnownHosts, `"\`) || strings.Contains(c.KnownHosts, "${") {
		return fmt.Errorf("ssh cannot be told of %q: the path holds a quote, a backslash or ${", c.KnownHosts)
	}
	return nil
}

// Block is the part of ssh's configuration by which `ssh NAME.belljar` comes into the
// sandbox NAME. It ends as it found the file: what follows holds for every host.
func (c Client) Block() (string, error) {
	options, err := c.Options()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(blockBegin + "\n")
	b.WriteString("# Written by `belljar ssh-config`; `belljar ssh-config --remove` takes it out.\n")
	b.WriteString("Host *" + Domain + " \"!*'*\"\n")
	for _, o := range options {
		b.WriteString("    " + o + "\n")
	}
	b.WriteString("Host *\n" + blockEnd + "\n")
	return b.String(), nil
}

// Edit is the configuration old with block as our block: in the place of the one that is
// there, else before everything, because ssh takes the first value that it finds. An
// empty block takes it out. Every other byte stays as it is.
func Edit(old []byte, block string) ([]byte, error) {
	from, to, err := find(old)
	if err != nil {
		return nil, err
	}
	return append(append(bytes.Clone(old[:from]), block...), old[to:]...), nil
}

// find finds our block; without one it is empty, at the beginning.
func find(b []byte) (from, to int, err error) {
	from, to = -1, -1
	at := 0
	for line := range bytes.Lines(b) {
		switch strings.TrimRight(string(line), "\r\n") {
		case blockBegin:
			if from >= 0 {
				return 0, 0, errors.New("our block begins twice")
			}
			from = at
		case blockEnd:
			if from < 0 || to >= 0 {
				return 0, 0, errors.New("our block ends without a beginning")
			}
			to = at + len(line)
		}
		at += len(line)
	}
	switch {
	case from < 0:
		return 0, 0, nil
	case to < 0:
		return 0, 0, errors.New("our block does not end")
	}
	return from, to, nil
}

// maxConfig bounds a configuration that is edited.
const maxConfig = 16 << 20

// Rewrite edits the configuration in the file path as [Edit] does, and says whether that
// changed it. A link is followed, and what it leads to is replaced as a whole, with mode
// 0600; the folder is made where it is missing. Nothing is written where nothing changes,
// but the mode.
func Rewrite(path, block string) (changed bool, err error) {
	path, err = follow(path)
	if err != nil {
		return false, err
	}
	old, err := readConfig(path)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return false, err
	}
	text, err := Edit(old, block)
	if err != nil {
		return false, fmt.Errorf("%s: %w: mend it by hand, from %q to %q", path, err, blockBegin, blockEnd)
	}
	if bytes.Equal(text, old) {
		if missing {
			return false, nil
		}
		return false, os.Chmod(path, 0o600)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return false, err
	}
	return true, replace(path, text)
}

func readConfig(path string) ([]byte, error) {
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s: it is no file", path)
	case st.Size() > maxConfig:
		return nil, fmt.Errorf("%s: it is larger than %d bytes", path, maxConfig)
	}
	return os.ReadFile(path)
}

// follow is where path leads to, also where that is not there yet.
func follow(path string) (string, error) {
	for range 40 {
		to, err := os.Readlink(path)
		if err != nil {
			return path, nil // no link, or not there: reading it says more
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return "", fmt.Errorf("%s: too many links", path)
}
