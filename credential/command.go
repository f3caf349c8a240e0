package credential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar/internal/links"
	"github.com/belljar-dev/belljar/terminal"
)

// maxSaid is how much of a command's standard error an error repeats.
const maxSaid = 400

// run asks the command for the value: without a shell, in /, with the environment of
// the caller, no input and no terminal. It is given commandTime, whatever becomes of the request
// that made it necessary: the next one needs it too.
func (s *source) run(ctx context.Context) (secret, error) {
	argv := s.from.Command
	if len(argv) == 0 {
		return secret{}, errors.New("there is no source")
	}
	program, err := s.host().program(argv[0])
	if err != nil {
		return secret{}, err
	}
	for _, p := range s.from.Paths(s.host().getenv) {
		if s.host().leadsIn(p) {
			return secret{}, fmt.Errorf("%w: the command %s names %s, which the sandbox can write", errUnfit, argv[0], p)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandTime)
	defer cancel()
	said := &head{left: maxSaid}
	c := exec.CommandContext(ctx, program, argv[1:]...)
	c.Args[0] = argv[0]
	c.Dir, c.Env, c.Stderr = "/", s.host().environment(), said
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal to ask at: that is the sandbox's
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = time.Second
	out, err := c.StdoutPipe()
	if err != nil {
		return secret{}, fmt.Errorf("run %s: %w", argv[0], err)
	}
	if err := c.Start(); err != nil {
		return secret{}, fmt.Errorf("run %s: %w", argv[0], err)
	}
	if f, ok := out.(*os.File); ok { // what the command left behind may hold it open
		_ = f.SetReadDeadline(time.Now().Add(commandTime))
	}
	v, err := readSecret(out)
	if err != nil {
		cancel()
	}
	ended := c.Wait()
	switch {
	case ctx.Err() == context.DeadlineExceeded:
		err = fmt.Errorf("the command %s did not end within %v", argv[0], commandTime)
	case err == nil && ended != nil:
		err = fmt.Errorf("the command %s failed: %w%s", argv[0], ended, said)
	case err != nil:
		err = fmt.Errorf("the command %s: %w", argv[0], err)
	}
	if err != nil {
		v.wipe()
		return secret{}, err
	}
	return v, nil
}

// program is the file of a command: an absolute path, or found on the PATH of the
// caller, by entries where the sandbox may not write.
func (h *Host) program(name string) (string, error) {
	if filepath.IsAbs(name) {
		return h.outside(name)
	}
	if strings.Contains(name, "/") {
		return "", fmt.Errorf("%w: the command %q is neither an absolute path nor a bare name", errUnfit, name)
	}
	err := fmt.Errorf("the command %q is not on PATH", name)
	for _, dir := range filepath.SplitList(h.getenv("PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		file, e := h.outside(filepath.Join(dir, name))
		if e == nil {
			return file, nil
		}
		if errors.Is(e, errUnfit) {
			err = e
		}
	}
	return "", err
}

// getenv is a variable of the caller; the last one counts.
func (h *Host) getenv(name string) (value string) {
	for _, v := range h.Env {
		if is, ok := strings.CutPrefix(v, name+"="); ok {
			value = is
		}
	}
	return value
}

// leadsIn says whether a path is one that the sandbox may write, also by a link, or by one
// that the sandbox may write, and also where nothing is there yet.
func (h *Host) leadsIn(path string) bool {
	if !filepath.IsAbs(path) {
		return false
	}
	names := links.Hops(path)
	return slices.ContainsFunc(h.places(), func(dir string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return within(dir, name) })
	})
}

// places are the folders that the sandbox may write, as they are written and with links
// followed.
func (h *Host) places() (dirs []string) {
	for _, dir := range append([]string{h.Project}, h.Writable...) {
		if dir != "" {
			dirs = append(dirs, filepath.Clean(dir), real(dir))
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// real follows the links of the part of a path that exists.
func real(path string) string {
	for rest := ""; ; {
		if at, err := filepath.EvalSymlinks(path); err == nil {
			return filepath.Join(at, rest)
		}
		dir := filepath.Dir(path)
		if dir == path {
			return filepath.Join(path, rest)
		}
		path, rest = dir, filepath.Join(filepath.Base(path), rest)
	}
}

// outside says whether path is a program that does not lie where the sandbox may write.
func (h *Host) outside(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("the command cannot be run: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return "", fmt.Errorf("the command %s cannot be executed", path)
	}
	if h.leadsIn(path) {
		return "", fmt.Errorf("%w: the command %s lies in the project, or in another folder where the sandbox can write", errUnfit, path)
	}
	return path, nil
}

// A head keeps the beginning of what is written to it.
type head struct {
	b    bytes.Buffer
	left int
}

func (h *head) Write(p []byte) (int, error) {
	n := min(len(p), h.left)
	h.left -= n
	h.b.Write(p[:n])
	return len(p), nil
}

// String is what was said, escaped, behind a colon.
func (h *head) String() string {
	said := strings.TrimSpace(h.b.String())
	if said == "" {
		return ""
	}
	return ": " + terminal.Escape(said)
}
