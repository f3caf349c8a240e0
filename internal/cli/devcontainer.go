package cli

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/devcontainer"
	"github.com/belljar-dev/belljar/limit"
	"github.com/belljar-dev/belljar/policy"
	"github.com/belljar-dev/belljar/terminal"
)

// anyDevcontainer is the flag's value where it names no file.
const anyDevcontainer = "auto"

// devcontainer reads the project's devcontainer.json, adds its variables to f, and says what
// of it is left out. p is the policy without it: a variable of the caller's is substituted
// where that passes it.
func (a *App) devcontainer(h *host, f *planFlags, workspace string, p *policy.Policy) (*devcontainer.Config, error) {
	root, err := os.OpenRoot(workspace)
	if err != nil {
		return nil, &belljar.Error{Op: "open", ID: workspace, Kind: belljar.KindUsage, Err: err}
	}
	defer root.Close()
	name := f.devcontainer
	if name == anyDevcontainer {
		if name, err = devcontainer.Find(root); err != nil {
			return nil, err
		}
	} else if name, err = filepath.Rel(workspace, h.abs(name)); err != nil || !filepath.IsLocal(name) {
		return nil, usage(fmt.Errorf("--devcontainer %s lies outside the project %s", f.devcontainer, workspace), "name a file of the project")
	}
	passes := map[string]bool{}
	for _, v := range p.EnvPass() {
		passes[v] = true
	}
	c, err := devcontainer.Read(root, name, devcontainer.Options{
		Workspace: workspace,
		Env: func(n string) (string, bool) {
			if !passes[n] {
				return "", false
			}
			return h.lookup(n)
		},
		Inside: func(n string) (string, bool) {
			switch n {
			case "PATH", "HOME", "USER": // what is left out of PATH is not there, and is not missed
				return h.lookup(n)
			}
			return "", false
		},
	})
	if err != nil {
		return nil, err
	}
	for _, n := range slices.Sorted(maps.Keys(c.Env)) {
		if why := policySays(p, n); why != "" {
			a.note("%s: %s is not taken: %s", terminal.Escape(name), n, why)
			continue
		}
		// What the caller says comes later, and wins.
		f.Env = slices.Insert(f.Env, 0, n+"="+c.Env[n])
	}
	for _, n := range c.Notes {
		a.note("%s: %s", terminal.Escape(name), terminal.Escape(n))
	}
	return c, nil
}

// policySays is what a policy says of a variable, which a project does not say otherwise; empty:
// nothing.
func policySays(p *policy.Policy, name string) string {
	if _, ok := p.EnvSet()[name]; ok {
		return "your policy sets it"
	}
	for _, c := range p.Credentials() {
		if c.Name == name {
			return "it is a credential's"
		}
	}
	if slices.Contains(policy.CertVariables(), name) {
		return "it names certificates, which belljar does"
	}
	return ""
}

// devSteps are the commands of a devcontainer.json.
func devSteps(c *devcontainer.Config, workspace string) (l []belljar.SetupStep) {
	for _, s := range c.Steps {
		l = append(l, belljar.SetupStep{Argv: s.Argv, Each: s.Each, Origin: belljar.Origin{Layer: s.Key, File: filepath.Join(workspace, c.File)}})
	}
	return l
}

// noteNeeds says what a devcontainer.json asks for that the run does not have.
func (a *App) noteNeeds(c *devcontainer.Config, p *belljar.Plan) {
	file := terminal.Escape(c.File)
	for _, n := range []struct {
		flag     string
		has, ask int64
		text     string
	}{
		{"cpus", int64(p.Limits.CPUs), int64(c.Needs.CPUs), fmt.Sprint(c.Needs.CPUs)},
		{"memory", p.Limits.Memory, c.Needs.Memory, limit.Format(limit.Memory, c.Needs.Memory)},
		{"disk", p.Limits.Disk, c.Needs.Storage, limit.Format(limit.Disk, c.Needs.Storage)},
	} {
		if n.ask > n.has {
			a.note("%s asks for more %s than this sandbox may use: --%s %s", file, n.flag, n.flag, n.text)
		}
	}
	var missing []string
	for _, port := range c.Ports {
		if !slices.ContainsFunc(p.Network.Publish, func(r belljar.PublishRule) bool { return r.Port == port }) {
			missing = append(missing, fmt.Sprint(port))
		}
	}
	if len(missing) > 0 {
		a.note("%s asks to publish ports, which a project cannot: network: {publish: [%s]} in your policy does", file, strings.Join(missing, ", "))
	}
}
