package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/belljar-dev/belljar"
	"github.com/spf13/cobra"
)

func (a *App) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "write the man pages into DIR",
		Long: `Writes a man page for every command into DIR, which is made: belljar.1,
belljar-run.1 and so on. They are made of what --help prints.
`,
		Args: exactly(cobra.ExactArgs(1)),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(c *cobra.Command, args []string) error {
			err := os.MkdirAll(args[0], 0o755)
			if err == nil {
				err = writeManPages(c.Root(), args[0])
			}
			if err != nil {
				return &belljar.Error{Op: "write man pages", Err: err, Hint: "name a folder that can be made and written"}
			}
			return nil
		},
	}
}

// writeManPages writes the page of c and of all commands below.
func writeManPages(c *cobra.Command, dir string) error {
	c.InitDefaultHelpFlag()
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	if err := os.WriteFile(filepath.Join(dir, name+".1"), []byte(manPage(c, name)), 0o644); err != nil {
		return err
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			if err := writeManPages(sub, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// manPage is the page of c. It is the same on every machine and every day.
func manPage(c *cobra.Command, name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"belljar %s\" \"belljar\"\n", strings.ToUpper(name), belljar.Version)
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n.SH SYNOPSIS\n.nf\n", roff(name), roff(c.Short))
	if c.HasSubCommands() && !strings.Contains(c.UseLine(), "[NAME]") {
		fmt.Fprintf(&b, "%s COMMAND\n.fi\n", roff(c.CommandPath()))
	} else {
		fmt.Fprintf(&b, "%s\n.fi\n", roff(c.UseLine()))
	}
	about, status, _ := strings.Cut(c.Long, "\nEXIT STATUS\n")
	if about != "" {
		b.WriteString(".SH DESCRIPTION\n" + roffText(about))
	}
	if c.HasAvailableSubCommands() {
		b.WriteString(".SH COMMANDS\n")
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(sub.Name()), roff(sub.Short))
			}
		}
	}
	b.WriteString(".SH OPTIONS\n")
	for _, m := range flagLine().FindAllStringSubmatch(c.NonInheritedFlags().FlagUsages()+c.InheritedFlags().FlagUsages(), -1) {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(m[1]), roff(m[2]))
	}
	if status != "" {
		b.WriteString(".SH EXIT STATUS\n" + roff(strings.Join(strings.Fields(status), " ")) + "\n")
	}
	if c.Example != "" {
		b.WriteString(".SH EXAMPLES\n" + roffText(c.Example))
	}
	if c.HasParent() {
		fmt.Fprintf(&b, ".SH SEE ALSO\n%s(1)\n", roff(strings.ReplaceAll(c.Parent().CommandPath(), " ", "-")))
	}
	return b.String()
}

// flagLine is one flag of a usage text: how it is written, what it does.
var flagLine = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?m)^ +(-\S.*?) {2,}(\S.*)$`) })

// roff is s as text of a page: nothing in it is a request or an escape.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", "...").Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

// roffText is text in paragraphs; what is indented keeps its lines.
func roffText(text string) string {
	var b strings.Builder
	asIs := false
	for _, l := range strings.Split(strings.Trim(text, "\n"), "\n") {
		if indented := strings.HasPrefix(l, "  "); indented != asIs && l != "" {
			b.WriteString(map[bool]string{true: ".PP\n.RS\n.nf\n", false: ".fi\n.RE\n.PP\n"}[indented])
			asIs = indented
		}
		if l == "" {
			b.WriteString(".PP\n")
			continue
		}
		b.WriteString(roff(strings.TrimPrefix(l, "  ")) + "\n")
	}
	if asIs {
		b.WriteString(".fi\n.RE\n")
	}
	return b.String()
}
