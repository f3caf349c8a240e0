package cli

import (
	"fmt"
	"io"

	"github.com/belljar-dev/belljar"
	"github.com/spf13/cobra"
)

// A diagnosis is what doctor prints, and its JSON.
type diagnosis struct {
	Version string                 `json:"version"`
	Auto    string                 `json:"auto,omitempty"` // the tier that auto takes
	Tiers   []belljar.Capabilities `json:"tiers"`
	Problem string                 `json:"problem,omitempty"`
	Disk    *diskUse               `json:"disk"`
}

func (a *App) doctorCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "doctor",
		Short:   "say what is enforced on this host and how to get the rest",
		GroupID: "policy",
		Long: `Asks every tier what it enforces on this host, by which mechanism, what is missing
and the exact fix, and how much disk the records take, what bounds them and what is
nearly full. Starts nothing. Exits 1 when no tier can be used.
`,
		Args: exactly(cobra.NoArgs),
		RunE: func(c *cobra.Command, args []string) error {
			h, err := a.enter()
			if err != nil {
				return err
			}
			d := diagnosis{Version: belljar.Version, Disk: a.disk(h)}
			for _, b := range a.Backends {
				caps, err := b.Probe(c.Context())
				if err != nil {
					return &belljar.Error{Op: "probe tier", ID: b.Name(), Err: err}
				}
				d.Tiers = append(d.Tiers, caps)
			}
			b, _, err := a.choose(c.Context(), "auto")
			if err != nil {
				d.Problem = err.Error()
				a.status = 1
			} else {
				d.Auto = b.Name()
			}
			if asJSON {
				return a.printJSON(d)
			}
			return a.printDiagnosis(&d)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *App) printDiagnosis(d *diagnosis) error {
	fmt.Fprintf(a.Out, "belljar %s; tier auto takes: %s\n", d.Version, orNone(d.Auto))
	if d.Problem != "" {
		fmt.Fprintf(a.Out, "no sandbox can be started: %s\n", d.Problem)
	}
	a.printDisk(d.Disk)
	for _, t := range d.Tiers {
		fmt.Fprintf(a.Out, "\ntier %s: %s\n", t.Tier, t.Version)
		if !t.Usable {
			a.printUnusable(&t)
			continue // what it would enforce is no news where it cannot run
		}
		err := table(a.Out, "  REQUIREMENT\tHERE\tBY", func(w io.Writer) {
			for _, e := range t.Requirements {
				fmt.Fprintf(w, "  %s\t%s\t%s\n", e.Requirement, e.Level, e.By)
			}
		})
		if err != nil {
			return err
		}
		for _, e := range t.Requirements {
			if e.Gap != "" {
				fmt.Fprintf(a.Out, "  %s: %s\n", e.Requirement, e.Gap)
			}
			if e.Remedy != "" {
				fmt.Fprintf(a.Out, "    fix: %s\n", e.Remedy)
			}
		}
	}
	return nil
}

// printUnusable says why a tier cannot be used, and what else it lacks: all is mended
// at once then.
func (a *App) printUnusable(t *belljar.Capabilities) {
	fmt.Fprintf(a.Out, "  cannot be used: %s\n  fix: %s\n", t.Reason, t.Remedy)
	for _, e := range t.Requirements {
		if e.Requirement == belljar.ReqView && e.Level == belljar.None && e.Gap != "" && e.Gap != t.Reason {
			fmt.Fprintf(a.Out, "  %s: %s\n    fix: %s\n", e.Requirement, e.Gap, e.Remedy)
		}
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
