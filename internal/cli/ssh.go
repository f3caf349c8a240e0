package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/api"
	"github.com/belljar-dev/belljar/internal/rootid"
	"github.com/belljar-dev/belljar/sandbox"
	"github.com/belljar-dev/belljar/ssh"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
)

type sshFlags struct {
	stdio, tty bool
	forward    []string
}

func (a *App) sshCommand() *cobra.Command {
	var f sshFlags
	c := &cobra.Command{
		Use:     "ssh [flags] NAME [COMMAND…]",
		Short:   "enter a running sandbox with your own ssh",
		GroupID: "run",
		Long: `Starts your ssh, and lets it into the running sandbox NAME: a shell that stands in the
project, or COMMAND in HOME, whose words are joined and read by the shell inside, as ssh
does. There is no server and no port inside, and no key of yours: ssh speaks with this
program, which starts commands inside as belljar exec does. It forwards to the sandbox's
own loopback only (-L), and neither your agent nor your display.

After belljar ssh-config, ssh NAME.belljar does the same, and so do scp, sftp, rsync, git
and editors that use ssh.

EXIT STATUS
  That of ssh: the command's own; 255 when it cannot enter, or when a signal killed it.
`,
		Example: "  belljar ssh quiet-otter\n  belljar ssh quiet-otter git log -1\n  belljar ssh -L 3000:localhost:3000 quiet-otter",
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return usage(errors.New("NAME is missing"), usageLine(c))
			case f.stdio && len(args) > 1:
				return usage(errors.New("--stdio takes a NAME and nothing else"), usageLine(c))
			case f.stdio:
				return a.sshStdio(c.Context(), args[0])
			}
			return a.ssh(&f, args[0], args[1:])
		},
	}
	c.Flags().BoolVar(&f.stdio, "stdio", false, "be the server, on standard input and output: what ssh is given as its ProxyCommand")
	c.Flags().BoolVarP(&f.tty, "tty", "t", false, "give COMMAND a terminal")
	c.Flags().StringArrayVarP(&f.forward, "forward", "L", nil, "forward to the sandbox's loopback: `PORT:localhost:PORT`")
	c.Flags().SetInterspersed(false)
	c.ValidArgsFunction = a.completeRunning
	return c
}

// sshDir is where the key of the user's sandboxes is.
func sshDir(d sandbox.Dirs) string { return filepath.Join(d.State, "ssh") }

// sshClient says how ssh comes to this program.
func sshClient(d sandbox.Dirs) (ssh.Client, error) {
	self, err := os.Executable()
	if err != nil {
		return ssh.Client{}, &belljar.Error{Op: "find this program", Err: err}
	}
	return ssh.Client{Program: self, KnownHosts: ssh.KnownHosts(sshDir(d))}, nil
}

// ssh becomes ssh.
func (a *App) ssh(f *sshFlags, name string, words []string) error {
	// As root it is root's own ssh, which knows its user; what it starts is not root.
	dirs := sandbox.Dirs{State: rootid.StateDir}
	if os.Geteuid() != 0 {
		h, err := a.enter()
		if err != nil {
			return err
		}
		e, err := a.running(h, strings.TrimSuffix(name, ssh.Domain))
		if err != nil {
			return err
		}
		dirs, name = h.dirs, e.ID // of this project, where several have the name
	}
	client, err := sshClient(dirs)
	if err != nil {
		return err
	}
	options, err := client.Options()
	if err != nil {
		return &belljar.Error{Op: "configure ssh", Kind: belljar.KindNotHere, Err: err}
	}
	at, err := program("ssh")
	if err != nil {
		return err
	}
	argv := []string{"ssh"}
	for _, o := range options {
		argv = append(argv, "-o", o)
	}
	if f.tty {
		argv = append(argv, "-t")
	}
	for _, l := range f.forward {
		argv = append(argv, "-L", l)
	}
	argv = append(append(argv, "--", strings.TrimSuffix(name, ssh.Domain)+ssh.Domain), words...)
	return &belljar.Error{Op: "start", ID: at, Kind: belljar.KindRefused, Err: syscall.Exec(at, argv, rootid.Environ())}
}

// program is where PATH has a program of that name that is the system's. One that a user may
// write may lie in the project of a sandbox (.venv/bin), and be the agent's.
func program(name string) (string, error) {
	var passed []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		p, err := filepath.EvalSymlinks(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		if fi, err := os.Lstat(p); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			if ofSystem(p) {
				return p, nil
			}
			passed = append(passed, p)
		}
	}
	err := errors.New("it is not on PATH")
	if passed != nil {
		err = fmt.Errorf("what PATH has is not the system's, so that a sandbox may have written it: %s", terminal.Escape(strings.Join(passed, ", ")))
	}
	return "", &belljar.Error{Op: "find", ID: name, Kind: belljar.KindNotFound, Err: err, Hint: "install OpenSSH's client, use belljar exec, or your own ssh after belljar ssh-config"}
}

// ofSystem says whether p, which has no links, and every folder above it belong to root and
// nobody else may write there.
func ofSystem(p string) bool {
	for ; ; p = filepath.Dir(p) {
		fi, err := os.Lstat(p)
		if err != nil {
			return false
		}
		st, ok := fi.Sys().(*syscall.Stat_t)
		if !ok || st.Uid != 0 || fi.Mode().Perm()&0o022 != 0 {
			return false
		}
		if p == filepath.Dir(p) {
			return true
		}
	}
}

// sshStdio is the server of one connection.
func (a *App) sshStdio(ctx context.Context, name string) error {
	h, err := a.enter()
	if err != nil {
		return err
	}
	key, err := ssh.HostKey(sshDir(h.dirs))
	if err != nil {
		return &belljar.Error{Op: "be the server of ssh", ID: name, Kind: belljar.KindNotHere, Err: err}
	}
	e, err := a.running(h, strings.TrimSuffix(name, ssh.Domain))
	if err != nil {
		return err
	}
	err = ssh.Serve(ctx, stdio{a.In, a.Out}, ssh.Options{
		Key: key, Starter: inside{e.Control()}, Note: func(line string) { a.note("%s", line) },
	})
	if err != nil {
		return &belljar.Error{Op: "be the server of ssh", ID: name, Err: err, Hint: "ssh starts this, not you: belljar ssh-config tells it how"}
	}
	return nil
}

// stdio are the two descriptors of a ProxyCommand.
type stdio struct{ in, out *os.File }

func (s stdio) Read(b []byte) (int, error)  { return s.in.Read(b) }
func (s stdio) Write(b []byte) (int, error) { return s.out.Write(b) }
func (s stdio) Close() error                { return errors.Join(s.in.Close(), s.out.Close()) }

// inside starts commands in a running sandbox.
type inside struct{ c *api.Client }

// Start implements [ssh.Starter].
func (i inside) Start(ctx context.Context, c *ssh.Command) (ssh.Stream, error) {
	s, err := i.c.Exec(ctx, api.ExecRequest{Argv: c.Argv, Env: c.Env, TTY: c.TTY, Size: c.Size})
	if err != nil {
		return nil, err
	}
	return s, nil
}

type sshConfigFlags struct {
	print, remove bool
	file          string
}

func (a *App) sshConfigCommand() *cobra.Command {
	var f sshConfigFlags
	c := &cobra.Command{
		Use:     "ssh-config",
		Short:   "let ssh NAME.belljar enter the sandbox NAME",
		GroupID: "run",
		Long: `Writes a block into your ~/.ssh/config by which ssh NAME.belljar enters the running sandbox
NAME without a question, and with it scp, sftp, rsync, git (ssh://NAME.belljar/…) and
editors. It comes first, because ssh takes the first value that it finds, and holds for
these names only; a block of an earlier time is replaced where it is. Every other byte of
the file stays; a link is followed; the file's mode becomes 0600.
` + exitStatus,
		Example: "  belljar ssh-config\n  belljar ssh-config --print >> elsewhere\n  belljar ssh-config --remove",
		Args:    exactly(cobra.NoArgs),
		RunE:    func(*cobra.Command, []string) error { return a.sshConfig(&f) },
	}
	c.Flags().BoolVar(&f.print, "print", false, "print the block and write nothing")
	c.Flags().BoolVar(&f.remove, "remove", false, "take the block out")
	c.Flags().StringVar(&f.file, "file", "", "edit `FILE` instead")
	c.MarkFlagsMutuallyExclusive("print", "remove")
	c.MarkFlagsMutuallyExclusive("print", "file")
	return c
}

func (a *App) sshConfig(f *sshConfigFlags) error {
	var more []string
	if f.file != "" {
		more = append(more, filepath.Dir(f.file))
	}
	h, err := a.enter(more...)
	if err != nil {
		return err
	}
	fail := func(err error) error {
		return &belljar.Error{Op: "configure ssh", Kind: belljar.KindNotHere, Err: err}
	}
	client, err := sshClient(h.dirs)
	if err != nil {
		return err
	}
	block := ""
	if !f.remove {
		if _, err := ssh.HostKey(sshDir(h.dirs)); err != nil {
			return fail(err)
		}
		if block, err = client.Block(); err != nil {
			return fail(err)
		}
	}
	if f.print {
		_, err := io.WriteString(a.Out, block)
		return err
	}
	file := filepath.Join(h.home, ".ssh", "config")
	if f.file != "" {
		file = h.abs(f.file)
	}
	changed, err := ssh.Rewrite(file, block)
	if err != nil {
		return fail(err)
	}
	a.note("%s", said(changed, f.remove, file))
	return nil
}

// said is what became of the block.
func said(changed, removed bool, file string) string {
	file = terminal.Escape(file)
	switch {
	case removed && changed:
		return "taken out of " + file
	case removed:
		return "there was nothing of ours in " + file
	case changed:
		return fmt.Sprintf("written into %s: ssh NAME%s enters the running sandbox NAME", file, ssh.Domain)
	}
	return file + " had it already"
}
