package credential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/terminal"
)

const (
	maxFile  = 64 << 10 // of a file or of what a command prints
	maxValue = 16 << 10 // what fits into a header of the usual servers at all

	fileAgain    = time.Second      // a file is looked at again
	commandAgain = 10 * time.Second // a command that failed is run again
	commandAge   = 5 * time.Minute  // a value that a command printed is used
	rejectedAge  = time.Minute      // a value that the upstream refused is asked for again
	commandTime  = 30 * time.Second
)

// errUnfit marks a source that must not be used, as opposed to one without a value.
var errUnfit = errors.New("unfit")

// A Host is where the sources of credentials are.
type Host struct {
	// Env is the environment of the caller, as [os.Environ] has it. Sources of kind
	// Env are read from it, commands are run with it.
	Env []string
	// Project is the real path of the workspace. Nothing of it is read or run: what
	// lies there, the agent writes. Empty for none.
	Project string
	// Writable are further folders that the sandbox may write to, absolute: what is said of
	// the project goes for them as well.
	Writable []string
}

// A source reads the value of one credential. Its methods are called one at a time.
type source struct {
	from belljar.CredentialSource
	form belljar.CredentialForm
	host func() *Host // a function, as in secret: the environment is full of secrets
	// elsewhere has a file or a command be read by another process; nil: by this one.
	elsewhere func() (secret, error)

	value    secret
	why      string    // there is none
	looked   time.Time // when that was found out
	file     fs.FileInfo
	rejected bool // by the upstream, since looked
}

// later says whether a value may appear while the sandbox runs.
func (s *source) later() bool { return s.from.Env == "" }

// due says whether the source is to be looked at before a request at now.
func (s *source) due(now time.Time) bool {
	age := now.Sub(s.looked)
	switch {
	case !s.later():
		return s.looked.IsZero()
	case s.from.File != "":
		return age >= fileAgain
	case s.why != "":
		return age >= commandAgain
	}
	return age >= commandAge || s.rejected && age >= rejectedAge
}

// look reads the source. It says whether there is another value than before. A value
// stays when a command fails to print it again, and is gone with its file. An error that
// is errUnfit says that the source must not be used; otherwise why says what is missing.
func (s *source) look(ctx context.Context, now time.Time) (changed bool, err error) {
	s.looked, s.rejected = now, false
	if s.from.File != "" && s.same() {
		return false, nil
	}
	raw, err := s.read(ctx)
	if err == nil {
		defer raw.wipe()
		err = s.check(raw)
	}
	if err != nil {
		s.why = terminal.Escape(err.Error())
		if s.from.File != "" {
			s.value = secret{}
		}
		return false, err
	}
	s.why = ""
	if s.value.region != nil && s.value.equal(raw) {
		return false, nil
	}
	raw.with(func(b []byte) { s.value = secretOf(b) })
	return true, nil
}

// same says whether the file is the one that was read, unchanged.
func (s *source) same() bool {
	if s.file == nil || s.why != "" {
		return false
	}
	now, err := os.Stat(s.from.File)
	return err == nil && os.SameFile(now, s.file) && now.ModTime().Equal(s.file.ModTime()) &&
		now.Size() == s.file.Size() && now.Mode() == s.file.Mode()
}

func (s *source) read(ctx context.Context) (secret, error) {
	switch {
	case s.from.Env != "":
		return s.variable()
	case s.elsewhere != nil:
		return s.ask()
	case s.from.File != "":
		return s.readFile()
	}
	return s.run(ctx)
}

// ask has the source be read by another process.
func (s *source) ask() (secret, error) {
	var before fs.FileInfo
	if s.from.File != "" {
		before, _ = os.Stat(s.from.File) // what changes meanwhile is seen by the next look
	}
	v, err := s.elsewhere()
	if err == nil {
		s.file = before
	}
	return v, err
}

func (s *source) variable() (secret, error) {
	for i := len(s.host().Env) - 1; i >= 0; i-- { // the last one counts
		if v, ok := strings.CutPrefix(s.host().Env[i], s.from.Env+"="); ok && v != "" {
			return secretOf([]byte(v)), nil
		} else if ok {
			return secret{}, fmt.Errorf("the variable %s is empty", s.from.Env)
		}
	}
	return secret{}, fmt.Errorf("the variable %s is not set", s.from.Env)
}

func (s *source) readFile() (secret, error) {
	path := s.from.File
	// A FIFO must not make us wait, whoever put it there.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return secret{}, fmt.Errorf("the file %s does not exist", path)
	}
	if err != nil {
		return secret{}, fmt.Errorf("the file cannot be read: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return secret{}, fmt.Errorf("the file cannot be read: %w", err)
	}
	if err := s.ours(path, info); err != nil {
		return secret{}, err
	}
	v, err := readSecret(f)
	if err != nil {
		return secret{}, fmt.Errorf("the file %s: %w", path, err)
	}
	s.file = info
	return v, nil
}

// ours says whether a file is one that only the caller, or root, can have written.
func (s *source) ours(path string, info fs.FileInfo) error {
	if s.host().leadsIn(path) {
		return fmt.Errorf("%w: the file %s lies in the project, or in another folder where the sandbox can write", errUnfit, path)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is no regular file", errUnfit, path)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: the file %s belongs to another user", errUnfit, path)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%w: others may write the file %s (chmod go-w)", errUnfit, path)
	}
	return nil
}

// readSecret reads a value of at most maxFile bytes.
func readSecret(r io.Reader) (secret, error) {
	v := newSecret(maxFile + 1)
	n, err := io.ReadFull(r, v.region().b)
	switch {
	case err == nil:
		v.wipe()
		return secret{}, fmt.Errorf("%w: more than %d KiB", errUnfit, maxFile>>10)
	case err != io.EOF && err != io.ErrUnexpectedEOF:
		v.wipe()
		return secret{}, err
	}
	v.cut(n)
	v.with(func(b []byte) { n = len(withoutNewline(b)) })
	v.cut(n)
	return v, nil
}

func withoutNewline(b []byte) []byte {
	if b, ok := bytes.CutSuffix(b, []byte("\n")); ok {
		return bytes.TrimSuffix(b, []byte("\r"))
	}
	return b
}

// check says whether a value can stand in a header.
func (s *source) check(raw secret) (err error) {
	raw.with(func(b []byte) {
		switch {
		case len(b) == 0:
			err = errors.New("the value is empty")
		case len(b) > maxValue:
			err = fmt.Errorf("%w: the value has more than %d KiB: it fits into no header", errUnfit, maxValue>>10)
		case bytes.ContainsFunc(b, func(r rune) bool { return r < 0x20 || r == 0x7f }):
			err = fmt.Errorf("%w: the value holds control characters or several lines", errUnfit)
		case s.form != belljar.FormBasic && (b[0] == ' ' || b[len(b)-1] == ' '):
			err = fmt.Errorf("%w: the value begins or ends with a space", errUnfit)
		}
	})
	return err
}
