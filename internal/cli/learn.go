package cli

import (
	"net/netip"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/policy"
	"github.com/spf13/cobra"
)

func (a *App) policyLearn() *cobra.Command {
	var refused bool
	c := &cobra.Command{
		Use:   "learn [NAME]",
		Short: "print the smallest policy that allows what a sandbox reached",
		Long: `Prints a policy file with the hosts, methods and paths that the sandbox NAME reached, or the newest
one of this project, by its record. What was refused for the want of a rule stands in comments. Requests
are known where they were seen: where a rule confined them, a credential was bound, or in clear.
`,
		Args:              exactly(cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeNames(false),
		RunE: func(c *cobra.Command, args []string) error {
			info, err := a.record(args)
			if err != nil {
				return err
			}
			seen, err := seenIn(info)
			if err != nil {
				return err
			}
			_, err = a.Out.Write(policy.Learn(seen, refused))
			return err
		},
	}
	c.Flags().BoolVar(&refused, "refused", false, "allow what was refused as well")
	return c
}

// seenIn is what a record tells of the network. Connections that carried requests which
// were seen are told by those.
func seenIn(info event.Info) ([]policy.Seen, error) {
	type place struct {
		host string
		port uint16
	}
	var all, connections []policy.Seen
	requests := map[place]bool{} // where requests were seen
	private := map[place]bool{}
	kinds := []belljar.EventKind{belljar.EventConnect, belljar.EventRequest, belljar.EventRefuse}
	for e, err := range event.Read(info.Path, event.Filter{Kinds: kinds}) {
		if err != nil {
			return nil, err
		}
		n := e.Net
		if n == nil {
			continue
		}
		addr, _ := netip.ParseAddr(n.Addr) // invalid where there is none
		at := place{n.Host, n.Port}
		s := policy.Seen{Host: n.Host, Addr: addr, Port: n.Port, Method: n.Method, Path: n.Path, Refused: e.Kind == belljar.EventRefuse}
		private[at] = private[at] || n.Host != "" && isPrivate(addr)
		switch {
		case e.Kind == belljar.EventConnect && (n.Reason == "" || n.Addr != ""):
			s.Method, s.Path = "", ""
			if n.Proto == "tls" { // passed through
				all = append(all, s)
				break
			}
			connections = append(connections, s)
		case e.Kind == belljar.EventRequest && n.Status != 0:
			requests[at] = true
			all = append(all, s)
		case e.Kind == belljar.EventRefuse && n.Missing:
			all = append(all, s)
		}
	}
	for _, c := range connections {
		if !requests[place{c.Host, c.Port}] {
			all = append(all, c)
		}
	}
	for i := range all {
		all[i].Private = private[place{all[i].Host, all[i].Port}]
	}
	return all, nil
}

// carrierNAT is the range of RFC 6598, which is private as well.
const carrierNAT = "100.64.0.0/10"

func isPrivate(a netip.Addr) bool {
	return a.IsPrivate() || netip.MustParsePrefix(carrierNAT).Contains(a)
}
