package cli

import (
	"os"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func (a *App) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "write the man pages into DIR",
		Args:  exactly(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return &belljar.Error{Op: "write man pages", Err: err, Hint: "name a folder that can be made"}
			}
			date := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC) // reproducible
			h := &doc.GenManHeader{Title: "BELLJAR", Section: "1", Source: "belljar " + belljar.Version, Date: &date}
			return doc.GenManTree(c.Root(), h, args[0])
		},
	}
}
