package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/credential"
	"github.com/belljar-dev/belljar/devcontainer"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/event/otlp"
	"github.com/belljar-dev/belljar/gateway"
	"github.com/belljar-dev/belljar/keeper"
	"github.com/belljar-dev/belljar/notify"
	"github.com/belljar-dev/belljar/plan"
	"github.com/belljar-dev/belljar/policy"
	"github.com/belljar-dev/belljar/sandbox"
	"github.com/belljar-dev/belljar/ssh"
	"github.com/belljar-dev/belljar/verify"
	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/view"
	"github.com/spf13/cobra"
)

// Reexec plays the part of one of our own child processes when args says so.
func Reexec(args []string) bool {
	return view.Reexec(args) || credential.Reexec(args) || verify.Reexec(args) || keeper.Reexec(args) || otlp.Reexec(args) || notify.Reexec(args) || event.Reexec(args) || ssh.Reexec(args)
}

// planFlags are the flags that make a plan: of run and plan.
type planFlags struct {
	policy.Flags
	policyFile   string
	presets      []string
	workspace    string
	name         string
	called       string // a name, where none is kept under it
	bestEffort   bool
	devcontainer string // a file of the project, or anyDevcontainer; empty: none is read
	// uncommitted brings changes that are not committed into a new worktree.
	uncommitted bool
	// upstreamByName lets the company's proxy resolve.
	upstreamByName bool
	// detach says that nobody watches, noTTY that the command has no terminal then.
	detach, noTTY bool
	// keep says that the sandbox can be started again, words which flags it has then, before
	// what it is started from now, and once that its command is another one this time.
	keep   bool
	words  []string
	before *sandbox.Recipe
	once   bool
	// look says that the plan is only looked at: no source of a credential is read.
	look bool
}

func (f *planFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.SortFlags = false // in the order of interest
	fl.StringVar(&f.Mode, "mode", "", "what becomes of writes to the project: `MODE` is live, worktree, review or readonly (default live)")
	fl.BoolVar(&f.uncommitted, "uncommitted", false, "with --mode worktree: bring what you have changed and not committed")
	fl.StringVar(&f.workspace, "workspace", "", "the project `DIR` (default: top of the git work tree, else the current folder)")
	fl.StringArrayVar(&f.Read, "read", nil, "show `PATH` inside, read-only")
	fl.StringArrayVar(&f.Write, "write", nil, "show `PATH` inside, writable")
	fl.StringArrayVar(&f.Hide, "hide", nil, "hide project files that match `GLOB`")
	fl.StringArrayVar(&f.Allow, "allow", nil, "allow `HOST[:PORT]`, 443 without a port; localhost:PORT is a service of this host")
	fl.StringArrayVar(&f.Env, "env", nil, "`NAME[=VALUE]`: pass your variable of that name, or set it")
	fl.StringArrayVar(&f.Credential, "credential", nil, "`NAME=HOST[:PORT]`: your variable NAME stays outside and is put into requests to HOST")
	fl.StringVar(&f.name, "name", "", "call the sandbox `NAME` and keep its HOME for the next run of that name in this project")
	fl.StringVar(&f.policyFile, "policy", "", "add the policy in `FILE`")
	fl.StringArrayVar(&f.presets, "preset", nil, "add the preset `NAME`, such as git, node, go, python")
	fl.StringVar(&f.Tier, "tier", "", "isolation `TIER`: auto, or one that belljar doctor lists (default auto)")
	fl.StringVar(&f.Memory, "memory", "", "memory at most `SIZE` (default 8GiB); more ends the run with 137")
	fl.StringVar(&f.CPUs, "cpus", "", "`N` processors (default 2); a fraction is rounded up to whole ones")
	fl.StringVar(&f.Processes, "processes", "", "`N` processes and threads at most (default 4096)")
	fl.StringVar(&f.Disk, "disk", "", "what the run may add on disk is at most `SIZE` (default 20GiB)")
	fl.StringVar(&f.Time, "time", "", "it ends after `TIME`, such as 90m, with 124 (default 24h)")
	fl.StringVar(&f.devcontainer, "devcontainer", "", "take variables and commands from the project's devcontainer.json, or from `FILE`")
	fl.Lookup("devcontainer").NoOptDefVal = anyDevcontainer
	fl.BoolVar(&f.upstreamByName, "upstream-by-name", false, "let your HTTPS_PROXY resolve names, where only it can; no address is checked then")
	fl.BoolVar(&f.bestEffort, "best-effort", false, "run even where this host cannot enforce everything; prints and records what")
}

// paths are those that the sandbox identity of root must reach.
func (f *planFlags) paths() []string {
	out := append(append([]string{}, f.Read...), f.Write...)
	if f.workspace != "" {
		out = append(out, f.workspace)
	}
	if f.policyFile != "" {
		out = append(out, f.policyFile)
	}
	return out
}

// validName is [a-z][a-z0-9-]{0,30}.
func validName(s string) bool {
	return s != "" && len(s) <= 31 && s[0] >= 'a' && s[0] <= 'z' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func (a *App) checkName(c *cobra.Command, name string) error {
	if name == "" {
		return nil
	}
	if !validName(name) {
		return usage(fmt.Errorf("--name %q is no name for a sandbox", name), "lower-case letters, digits and dashes, at most 31, a letter first")
	}
	words := []string{"help", "completion"}
	for _, sub := range c.Root().Commands() {
		words = append(words, sub.Name())
	}
	for _, w := range words {
		if w == name {
			return usage(fmt.Errorf("--name %s is a word of the command line", name), "choose another name")
		}
	}
	return nil
}

// A prepared run: everything is decided, nothing is started.
type prepared struct {
	plan    *belljar.Plan
	public  *belljar.Plan // the plan as it may be shown and recorded: no value of the caller's
	policy  *policy.Policy
	facts   *plan.Facts
	backend belljar.Backend
	notes   []string
	agent   string // the command's bare name, found outside the project
	repos   []rules.Repository
	made    string // the folder of a worktree that is new; empty: none is

	gateway gateway.Options   // what is no part of the plan: secrets
	logins  *logins           // nil: none is used
	files   map[string][]byte // of the scratch folder, which the plan mounts
}

// prepare decides what a run of args is given.
func (a *App) prepare(ctx context.Context, h *host, f *planFlags, args []string) (_ *prepared, err error) {
	o, agent, err := h.find(f, args)
	if err != nil {
		return nil, err
	}
	a.noteUnset(h, f.Env)
	p := &prepared{agent: agent, files: map[string][]byte{}}
	if p.policy, err = a.loadPolicy(h, f, o.Workspace, agent); err != nil {
		return nil, err
	}
	var dev *devcontainer.Config
	if f.devcontainer != "" {
		if dev, err = a.devcontainer(h, f, o.Workspace, p.policy); err != nil {
			return nil, err
		}
		if p.policy, err = a.loadPolicy(h, f, o.Workspace, agent); err != nil {
			return nil, err
		}
	}
	if err := a.unwatched(h, f, p, o.Workspace); err != nil {
		return nil, err
	}
	a.warnReal(h, f, p.policy)
	if p.facts, err = gather(ctx, o, p.policy); err != nil {
		return nil, err
	}
	if dev != nil {
		p.facts.Setup = devSteps(dev, o.Workspace)
	}
	var caps belljar.Capabilities
	if p.backend, caps, err = a.choose(ctx, p.policy.Tier()); err != nil {
		return nil, err
	}
	defer func() {
		if err == nil {
			return
		}
		if p.gateway.Keys != nil {
			_ = p.gateway.Keys.Close() // nothing runs that could use them
		}
		p.logins.close()
	}()
	if err := a.arm(ctx, h, p, f.look); err != nil {
		return nil, err
	}
	if p.plan, err = plan.Make(p.policy, p.facts, caps, plan.MakeOptions{BestEffort: f.bestEffort}); err != nil {
		return nil, err
	}
	if dev != nil {
		a.noteNeeds(dev, p.plan)
	}
	if err := unseenSources(plan.Reasoned{Plan: p.plan, Policy: p.policy, Facts: p.facts}, p.logins); err != nil {
		return nil, err
	}
	// Before a worktree is made: what is hidden is not checked out to it.
	if err := p.discover(h, p.plan.Workspace.Dir); err != nil {
		return nil, err
	}
	if err := a.worktree(ctx, h, p, f); err != nil {
		return nil, err
	}
	if err := p.finish(h, f); err != nil {
		return nil, err
	}
	return p, nil
}

// find says what a run of args begins with: the workspace, and the command's bare name
// where it is one that may be a known agent.
func (h *host) find(f *planFlags, args []string) (o plan.GatherOptions, agent string, err error) {
	for _, s := range append(slices.Clone(args), f.Env...) {
		if !utf8.ValidString(s) {
			return o, "", usage(fmt.Errorf("%q is not UTF-8", s), "belljar hands on text only: name such a file by a pattern in a shell inside, sh -c 'cat caf?'")
		}
	}
	o = plan.GatherOptions{
		Name: cmp.Or(f.name, f.called), Named: f.name != "", Command: args, Env: h.env, Home: h.home, Dir: h.cwd,
		StateDir: h.dirs.State, RuntimeDir: h.dirs.Runtime, ConfigDir: h.dirs.Config, Identity: h.identity(),
	}
	if f.workspace != "" {
		o.Workspace = h.abs(f.workspace)
	}
	if o.Workspace, err = plan.FindWorkspace(o); err != nil || len(args) == 0 {
		return o, "", err
	}
	cmd, err := plan.FindCommand(o)
	if err != nil {
		return o, "", h.notFound(err, args)
	}
	if cmd.Bare && !cmd.InWorkspace {
		agent = args[0]
	}
	return o, agent, nil
}

// gather looks at what the policy names.
func gather(ctx context.Context, o plan.GatherOptions, pol *policy.Policy) (*plan.Facts, error) {
	for _, r := range pol.Read() {
		o.Read = append(o.Read, r.Path)
	}
	for _, r := range pol.Write() {
		o.Write = append(o.Write, r.Path)
	}
	for _, k := range pol.RegistryKinds() {
		o.Registries = append(o.Registries, k.Glob)
	}
	for _, c := range pol.Credentials() {
		o.Programs = append(o.Programs, c.Programs...)
	}
	o.Denied = plan.DeniedPrograms(pol.Commands())
	mode, _ := pol.Mode()
	o.Worktree = mode == belljar.ModeWorktree
	return plan.Gather(ctx, o)
}

// finish adds to the plan what is found with it, and makes the one that is shown.
func (p *prepared) finish(h *host, f *planFlags) error {
	var err error
	if tree := p.tree(); tree != p.plan.Workspace.Dir {
		if err := p.discover(h, tree); err != nil {
			return err
		}
	}
	p.notes = p.facts.Notes
	if usesNetwork(p.plan) {
		if p.gateway.UpstreamAuth, err = upstreamProxy(&p.plan.Network, h.lookup); err != nil {
			return err
		}
		p.plan.Network.UpstreamByName = f.upstreamByName && p.plan.Network.Upstream != ""
	}
	passed := p.policy.EnvPass()
	for _, e := range f.Env {
		name, _, _ := strings.Cut(e, "=")
		passed = append(passed, name)
	}
	p.public = redacted(p.plan, passed)
	answerForKey(p.plan)
	p.logins.answer(p.plan)
	return nil
}

// discover adds to the plan what the host reaches in dir through a held or hidden name:
// it is held or hidden too. The repositories of dir are the sandbox's from then on.
func (p *prepared) discover(h *host, dir string) error {
	found, err := h.discover(dir)
	if err != nil {
		return err
	}
	ws := &p.plan.Workspace
	ws.Hide, ws.Hold = addPatterns(ws.Hide, found.Hide), addPatterns(ws.Hold, found.Hold)
	p.repos = found.Repositories
	p.facts.Notes = append(p.facts.Notes, found.Notes...)
	return nil
}

// addPatterns adds those that are new.
func addPatterns(to, more []belljar.Pattern) []belljar.Pattern {
	for _, m := range more {
		if !slices.ContainsFunc(to, func(p belljar.Pattern) bool { return p.Glob == m.Glob }) {
			to = append(to, m)
		}
	}
	return to
}

// usesNetwork says whether the plan names anything beyond this host.
func usesNetwork(p *belljar.Plan) bool {
	return slices.ContainsFunc(p.Network.Rules, func(r belljar.NetRule) bool { return r.Host != belljar.Localhost })
}

// loadPolicy merges every layer that applies to the workspace dir.
func (a *App) loadPolicy(h *host, f *planFlags, dir, agent string) (*policy.Policy, error) {
	trust, err := policy.OpenTrust(h.dirs.State)
	if err != nil {
		return nil, err
	}
	file := ""
	if f.policyFile != "" {
		file = h.abs(f.policyFile)
	}
	o := a.userOptions(h)
	o.ProjectFile, o.PolicyFile, o.Workspace = filepath.Join(dir, "belljar.yaml"), file, dir
	o.Command, o.Presets, o.Flags = agent, f.presets, f.Flags
	o.Trusted = func(hash string) bool { return trust.Trusted(dir, hash) }
	p, err := policy.Load(o)
	return p, flagFaults(err)
}

func (a *App) tierNames() []string {
	var names []string
	for _, b := range a.Backends {
		names = append(names, b.Name())
	}
	return names
}

// choose finds the tier: the one that is asked for, or the first that is usable.
func (a *App) choose(ctx context.Context, tier string) (belljar.Backend, belljar.Capabilities, error) {
	names := a.tierNames()
	var unusable error
	for _, b := range a.Backends {
		if tier != "auto" && tier != "" && tier != b.Name() {
			continue
		}
		caps, err := b.Probe(ctx)
		if err == nil && !caps.Usable {
			err = &belljar.Error{Op: "use tier", ID: b.Name(), Kind: belljar.KindNotHere, Err: errors.New(caps.Reason), Hint: caps.Remedy}
		}
		if err == nil {
			return b, caps, nil
		}
		if unusable == nil {
			unusable = err
		}
	}
	if tier != "auto" && tier != "" && !slices.Contains(names, tier) {
		return nil, belljar.Capabilities{}, usage(fmt.Errorf("unknown tier %q", tier), "there is: auto, "+strings.Join(names, ", "))
	}
	if unusable == nil {
		unusable = &belljar.Error{Op: "find a tier", Kind: belljar.KindNotHere, Err: errors.New("this system has none yet"), Hint: "belljar runs sandboxes on Linux"}
	}
	return nil, belljar.Capabilities{}, unusable
}
