package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/approval"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/policy"
	"github.com/belljar-dev/belljar/sandbox"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
)

func (a *App) allowCommand() *cobra.Command {
	var name string
	var only bool
	c := &cobra.Command{
		Use:     "allow [flags] HOST[:PORT]",
		Short:   "allow the last refusal of a host from now on",
		GroupID: "run",
		Long: `Allows exactly what HOST was last refused for: the connection, or the one request where the
policy allows others. It is looked up in the record of the newest sandbox of this project, holds at once
where that still runs, and is written into your own policy. A host that was never refused is not
allowed so: name it in a policy, or with run --allow.
` + exitStatus,
		Example: "  belljar allow docs.example.com\n  belljar allow --sandbox docs.example.com",
		Args:    exactly(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			return a.allow(c.Context(), name, args[0], only)
		},
	}
	c.Flags().StringVar(&name, "name", "", "the sandbox `NAME` instead of the newest one of this project")
	c.Flags().BoolVar(&only, "sandbox", false, "only until the running sandbox ends")
	c.ValidArgsFunction = offer()
	return c
}

func (a *App) allow(ctx context.Context, name, host string, only bool) error {
	want, err := policy.ParseTarget(host)
	if err == nil && want.Host == "" {
		err = errors.New("an address: only hosts are allowed by name")
	}
	if err != nil {
		return usage(fmt.Errorf("%q: %w", host, err), "belljar allow HOST, for example: belljar allow docs.example.com")
	}
	h, err := a.enter()
	if err != nil {
		return err
	}
	info, err := a.find(h, name)
	if err != nil {
		return err
	}
	rule, err := lastRefusal(info, want, strings.Contains(host, ":"))
	if err != nil {
		return err
	}
	p, _, err := a.policyHere(h, &planFlags{}, "")
	if err == nil {
		if err = p.MayGrant(rule); err != nil {
			err = &belljar.Error{Op: "allow", ID: host, Kind: belljar.KindRefused, Err: err}
		}
	}
	if err != nil {
		return err
	}
	runs, _ := h.dirs.Runs() // one that cannot be read is not found
	i := slices.IndexFunc(runs, func(e sandbox.Entry) bool { return e.ID == info.ID })
	switch {
	case i >= 0:
		if err := runs[i].Control().Allow(ctx, rule, ""); err != nil {
			return err
		}
		a.note("allowed until %s ends: %s", terminal.Escape(info.Name), sandbox.Asked(subject(rule)))
	case only:
		return &belljar.Error{Op: "allow", ID: host, Kind: belljar.KindNoSuch, Err: fmt.Errorf("sandbox %s has ended", info.Name), Hint: "without --sandbox it is allowed from now on"}
	}
	if only {
		return nil
	}
	return a.keepRule(h, rule, info.Name)
}

func subject(r belljar.NetRule) approval.Subject {
	return approval.Subject{Host: r.Host, Port: r.Ports[0], Method: strings.Join(r.Methods, " "), Path: strings.Join(r.Paths, " ")}
}

// lastRefusal is the rule that allows what want's host was last refused for.
func lastRefusal(info event.Info, want belljar.NetRequest, onPort bool) (belljar.NetRule, error) {
	var last *belljar.NetEvent
	other := ""
	var hosts []string
	for e, err := range event.Read(info.Path, event.Filter{Kinds: []belljar.EventKind{belljar.EventRefuse}}) {
		if err != nil || e.Net == nil || e.Net.Host == "" {
			continue
		}
		n := e.Net
		switch {
		case !n.Missing:
			if n.Host == want.Host {
				other = n.Reason
			}
		case n.Host == want.Host && (!onPort || n.Port == 0 || n.Port == want.Port):
			last = n
		case !slices.Contains(hosts, n.Host) && len(hosts) < 8:
			hosts = append(hosts, n.Host)
		}
	}
	if last == nil {
		err := &belljar.Error{Op: "allow", ID: want.Host, Kind: belljar.KindNoSuch, Err: fmt.Errorf("sandbox %s was not refused it", info.Name), Hint: "belljar run --allow " + want.Host + ", or network.allow of a policy"}
		if other != "" {
			err.Err = fmt.Errorf("it was refused for another reason than the want of a rule: %s", other)
		} else if len(hosts) > 0 {
			err.Hint = "it was refused: " + terminal.Escape(strings.Join(hosts, ", "))
		}
		return belljar.NetRule{}, err
	}
	rule := belljar.NetRule{Host: last.Host, Ports: []uint16{last.Port}}
	if last.Port == 0 { // only the name was asked for
		rule.Ports[0] = want.Port
	}
	if last.Method != "" {
		rule.Methods, rule.Paths = []string{last.Method}, []string{last.Path}
	}
	return rule, nil
}
