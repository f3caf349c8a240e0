package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/rootid"
	"github.com/belljar-dev/belljar/sandbox"
	"github.com/belljar-dev/belljar/verify"
	"github.com/spf13/cobra"
)

type verifyFlags struct {
	tier, policy, command string
	only                  []string
	json, junit           bool
}

func (a *App) verifyCommand() *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use:     "verify [flags]",
		Short:   "prove it on this host: attack a sandbox from inside",
		GroupID: "policy",
		Long: `Starts sandboxes as belljar run does, attacks them from inside and looks from outside
at what came through. The same attacks run without a sandbox too, in throw-away
namespaces, where they must succeed: one that does not proves nothing and is not
judged. Decoys are attacked, never what is yours; no packet leaves this host.
Takes twenty seconds to a minute and leaves nothing behind but its result, for belljar evidence.

The user's own policy does not apply; name it with --policy to verify with it.

EXIT STATUS
  0 everything as expected; 1 an attack came through, or something does not work or
  could not be judged; 2 wrong usage; 125 nothing could be proved.
`,
		Example: "  belljar verify\n  belljar verify --json\n  belljar verify --command 'bwrap --unshare-all --ro-bind / / --dev /dev --proc /proc --bind . . --'",
		Args:    exactly(cobra.NoArgs),
		RunE: func(c *cobra.Command, args []string) error {
			if verify.InWorld() {
				return verify.World(c.Context(), launcher{a})
			}
			return a.prove(c.Context(), &f)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.tier, "tier", "", "isolation tier: auto or a `name` from belljar doctor (default auto)")
	fl.StringVar(&f.policy, "policy", "", "verify with the policy in `FILE`")
	fl.StringVar(&f.command, "command", "", "attack another sandbox: `WORDS` of a shell that start it; the attacker's command line follows")
	fl.StringSliceVar(&f.only, "only", nil, "only these rows or groups of rows")
	fl.BoolVar(&f.json, "json", false, "print JSON")
	fl.BoolVar(&f.junit, "junit", false, "print JUnit XML")
	c.MarkFlagsMutuallyExclusive("json", "junit")
	c.MarkFlagsMutuallyExclusive("tier", "command")
	return c
}

func (a *App) prove(ctx context.Context, f *verifyFlags) error {
	var paths []string
	if f.policy != "" {
		paths = append(paths, f.policy)
	}
	h, err := a.enter(paths...)
	if err != nil {
		return err
	}
	o := verify.Options{Tier: f.tier, Command: f.command, Only: f.only, Home: h.home}
	if f.policy != "" {
		if o.Policy, err = readPolicyFile(h.abs(f.policy)); err != nil {
			return err
		}
	}
	if f.command == "" { // a tier that is not here is said before anything is built
		if _, _, err := a.choose(ctx, f.tier); err != nil {
			return err
		}
	}
	r, err := verify.Run(ctx, o)
	if err != nil {
		return err
	}
	if r.Failed > 0 {
		a.status = 1
	}
	if f.command == "" && f.policy == "" && len(f.only) == 0 {
		if err := keepVerified(h.dirs.State, r); err != nil {
			a.note("the result could not be kept for belljar evidence: %v", err)
		}
	}
	switch {
	case f.json:
		return r.WriteJSON(a.Out)
	case f.junit:
		return r.WriteJUnit(a.Out)
	}
	return r.WriteTable(a.Out)
}

func readPolicyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err == nil {
		defer f.Close()
		var b []byte
		if b, err = io.ReadAll(io.LimitReader(f, 1<<20)); err == nil {
			return b, nil
		}
	}
	hint := "--policy takes the path of a policy file; without it belljar verify uses the presets alone"
	if errors.Is(err, fs.ErrPermission) {
		hint = "let this user read it"
		if rootid.StartedAsRoot() {
			hint = "belljar gives up root before it reads files: let everybody read it, or put it into a folder of your own"
		}
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err // the path is said already
	}
	return nil, &belljar.Error{Op: "read policy", ID: path, Kind: belljar.KindUsage, Err: err, Hint: hint}
}

// A launcher starts sandboxes for verify by the way of run.
type launcher struct{ a *App }

// planFlags are the flags of run that start j.
func (launcher) planFlags(j *verify.Job) *planFlags {
	f := &planFlags{policyFile: j.PolicyFile, bestEffort: j.BestEffort}
	f.Tier, f.Allow, f.Credential, f.Mode = j.Tier, j.Allow, j.Credential, j.Mode
	f.Memory, f.Processes, f.Disk, f.Time = j.Memory, j.Processes, j.Disk, j.Time
	return f
}

// Launch prepares and runs j as belljar run does.
func (l launcher) Launch(ctx context.Context, j verify.Job) (verify.Outcome, error) {
	h, err := l.a.enter()
	if err != nil {
		return verify.Outcome{}, err
	}
	p, err := l.a.prepare(ctx, h, l.planFlags(&j), j.Argv)
	if err != nil {
		return verify.Outcome{}, err
	}
	res, err := sandbox.Run(ctx, p.options(h, false, sandbox.Options{In: j.In, Out: j.Out, Err: j.Err}))
	o := verify.Outcome{Status: res.Status, Tier: p.plan.Tier, Enforcement: p.plan.Enforcement, Limit: res.End.Limit}
	if err == nil && res.End.Reason == belljar.EndCrashed {
		err = fmt.Errorf("the sandbox ended: %s", strings.TrimSpace(res.End.Detail))
	}
	return o, err
}
