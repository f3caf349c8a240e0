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
		Use:     "allow [flags] HOST[:PORT] [METHOD PATH]",
		Short:   "allow the last refusal of a host from now on",
		GroupID: "run",
		Long: `Allows exactly what HOST was refused for: the connection, or the one request where the
policy allows others. It is looked up in the record of the newest sandbox of this project, holds at once
where that still runs, and is written into your own policy. Where several things were refused at HOST they
are listed, and METHOD and PATH (or a port) say which one is meant: what is inside decides what comes last.
A host that was never refused is not allowed so: name it in a policy, or with run --allow.
` + exitStatus,
		Example: "  belljar allow docs.example.com\n  belljar allow --sandbox docs.example.com\n  belljar allow api.example.com GET /v1/models",
		Args:    exactly(oneOrThree),
		RunE: func(c *cobra.Command, args []string) error {
			w := wanted{text: args[0]}
			if len(args) == 3 {
				w.method, w.path = args[1], args[2]
			}
			return a.allow(c.Context(), name, w, only)
		},
	}
	c.Flags().StringVar(&name, "name", "", "the sandbox `NAME` instead of the newest one of this project")
	c.Flags().BoolVar(&only, "sandbox", false, "only until the running sandbox ends")
	c.ValidArgsFunction = offer()
	return c
}

func oneOrThree(_ *cobra.Command, args []string) error {
	if len(args) != 1 && len(args) != 3 {
		return fmt.Errorf("accepts HOST, or HOST METHOD PATH, received %d words", len(args))
	}
	return nil
}

// A wanted is what the user asks to be allowed.
type wanted struct {
	text         string // HOST or HOST:PORT
	method, path string // of one request; empty for whatever it was
}

func (a *App) allow(ctx context.Context, name string, w wanted, only bool) error {
	host := w.text
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
	want.Method, want.Path = w.method, w.path
	rule, err := refusedRule(info, want, strings.Contains(host, ":"))
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

// maxListed bounds what is listed of a record, which holds what a program inside chose.
const maxListed = 8

// refusedRule is the rule that allows what want's host was refused for, which must be one
// thing only: what is inside could have itself refused something else just before somebody
// allows what they saw.
func refusedRule(info event.Info, want belljar.NetRequest, onPort bool) (belljar.NetRule, error) {
	var missing []approval.Subject
	other := ""
	var hosts []string
	for e, err := range event.Read(info.Path, event.Filter{Kinds: []belljar.EventKind{belljar.EventRefuse}}) {
		if err != nil || e.Net == nil || e.Net.Host == "" {
			continue
		}
		n := e.Net
		switch {
		case n.Host == want.Host && !n.Missing:
			other = n.Reason
		case n.Host == want.Host && (!onPort || n.Port == 0 || n.Port == want.Port) && (want.Method == "" || n.Method == want.Method && n.Path == want.Path):
			s := approval.Subject{Host: n.Host, Port: n.Port, Method: n.Method, Path: n.Path}
			if s.Port == 0 { // only the name was asked for
				s.Port = want.Port
			}
			if !slices.Contains(missing, s) && len(missing) <= maxListed {
				missing = append(missing, s)
			}
		case n.Missing && n.Host != want.Host && !slices.Contains(hosts, n.Host) && len(hosts) < maxListed:
			hosts = append(hosts, n.Host)
		}
	}
	switch {
	case len(missing) > 1:
		return belljar.NetRule{}, severalRefused(want.Host, missing)
	case len(missing) == 0:
		return belljar.NetRule{}, neverRefused(info.Name, want.Host, other, hosts)
	}
	s := missing[0]
	rule := belljar.NetRule{Host: s.Host, Ports: []uint16{s.Port}}
	if s.Method != "" {
		rule.Methods, rule.Paths = []string{s.Method}, []string{s.Path}
	}
	return rule, nil
}

func severalRefused(host string, missing []approval.Subject) error {
	var l []string
	for i, s := range missing {
		if i == maxListed {
			l = append(l, "…")
			break
		}
		l = append(l, sandbox.Asked(s))
	}
	return &belljar.Error{
		Op: "allow", ID: host, Kind: belljar.KindUsage, Err: fmt.Errorf("several things were refused there: %s", strings.Join(l, "; ")),
		Hint: fmt.Sprintf("say which one: belljar allow %s METHOD PATH, or %s:PORT", host, host),
	}
}

func neverRefused(name, host, other string, hosts []string) error {
	err := &belljar.Error{Op: "allow", ID: host, Kind: belljar.KindNoSuch, Err: fmt.Errorf("sandbox %s was not refused it", name), Hint: "belljar run --allow " + host + ", or network.allow of a policy"}
	if other != "" {
		err.Err = fmt.Errorf("it was refused for another reason than the want of a rule: %s", other)
	} else if len(hosts) > 0 {
		err.Hint = "it was refused: " + terminal.Escape(strings.Join(hosts, ", "))
	}
	return err
}
