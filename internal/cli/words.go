package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/spell"
	"github.com/belljar-dev/belljar/policy"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func usage(err error, hint string) error {
	var e *belljar.Error
	if errors.As(err, &e) {
		return err
	}
	return &belljar.Error{Kind: belljar.KindUsage, Err: err, Hint: hint}
}

// usageLine is how c is called.
func usageLine(c *cobra.Command) string {
	return "usage: " + c.UseLine()
}

// emptyFlags refuses a flag that is given without a value, as --policy "$UNSET" is:
// nobody means the default by it.
func emptyFlags(c *cobra.Command) (err error) {
	c.Flags().Visit(func(f *pflag.Flag) {
		if err == nil && f.Value.Type() == "string" && f.Value.String() == "" {
			err = usage(fmt.Errorf("--%s is empty", f.Name), "leave it out, or give it a value")
		}
	})
	return err
}

// unknownWord is the error for a word that is no command of c.
func unknownWord(c *cobra.Command, word string) error {
	names := commandNames(c)
	hint := ""
	switch near := nearest(word, names); {
	case word == "version":
		hint = "belljar --version prints the version"
	case near != "" && (c.HasParent() || strings.HasPrefix(near, word) || !slices.Contains(programs(word), word)):
		hint = "did you mean " + c.CommandPath() + " " + near + "?"
	case c.HasParent():
		hint = "there is: " + strings.Join(names, ", ")
	default:
		hint = "belljar --help lists the commands"
		if slices.Contains(programs(word), word) {
			hint = "to run that program under glass: belljar run " + word
		}
	}
	return usage(fmt.Errorf("%s has no command %q", c.CommandPath(), word), hint)
}

func commandNames(c *cobra.Command) []string {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return names
}

// onlyCommands makes c a command that does nothing without the name of another.
func onlyCommands(c *cobra.Command) {
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownWord(c, args[0])
		}
		return c.Help()
	}
}

// exactly gives cobra's check of the number of words our words.
func exactly(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if check(c, args) == nil {
			return nil
		}
		need := operands(c)
		if len(args) < len(need) {
			missing := need[len(args):]
			verb := " is missing"
			if len(missing) > 1 {
				verb = " are missing"
			}
			return usage(errors.New(strings.ReplaceAll(strings.Join(missing, " and "), "…", "")+verb), usageLine(c))
		}
		if nearest(args[0], commandNames(c)) != "" {
			return unknownWord(c, args[0])
		}
		extra := args[min(len(args)-1, len(strings.Fields(c.Use))-1):]
		return usage(fmt.Errorf("%s: unexpected %q", c.CommandPath(), extra[0]), usageLine(c))
	}
}

// operands are the words that a command must have, by its usage line.
func operands(c *cobra.Command) []string {
	var out []string
	for _, w := range strings.Fields(c.Use)[1:] {
		if !strings.HasPrefix(w, "[") {
			out = append(out, strings.TrimSuffix(w, "…"))
		}
	}
	return out
}

// flagError gives pflag's errors our words.
func flagError(c *cobra.Command, err error) error {
	var named interface {
		GetSpecifiedName() string
		GetSpecifiedShortnames() string
	}
	var valued interface{ GetValue() string }
	switch {
	case errors.As(err, &valued):
		return usage(fmt.Errorf("%q is no value for that flag: it is true or false", valued.GetValue()), usageLine(c))
	case !errors.As(err, &named):
		return usage(err, usageLine(c))
	}
	name := named.GetSpecifiedName()
	flag := "--" + name
	known := c.Flags().Lookup(name)
	if named.GetSpecifiedShortnames() != "" {
		flag = "-" + name
		known = c.Flags().ShorthandLookup(name)
	}
	if known != nil {
		what := known.Name
		if parts := strings.Split(known.Usage, "`"); len(parts) == 3 {
			what = parts[1]
		}
		return usage(fmt.Errorf("%s needs a value: %s %s", flag, flag, what), usageLine(c))
	}
	hint := c.CommandPath() + " --help lists the flags"
	if near := nearest(name, longFlags(c)); near != "" {
		hint = "did you mean --" + near + "?"
	} else if strings.Contains(c.Use, "COMMAND") {
		hint += "; those of COMMAND come behind it"
	}
	return usage(fmt.Errorf("%s has no flag %s", c.CommandPath(), flag), hint)
}

// longFlags are the names of the flags of c.
func longFlags(c *cobra.Command) []string {
	var out []string
	for _, l := range strings.Split(c.Flags().FlagUsages(), "\n") {
		if _, rest, ok := strings.Cut(l, "--"); ok {
			out = append(out, strings.Fields(rest)[0])
		}
	}
	return out
}

// flagFaults turns faults of flags alone into words about flags: nobody who typed
// one thinks of a policy.
func flagFaults(err error) error {
	var faults policy.Faults
	if !errors.As(err, &faults) || len(faults) == 0 ||
		slices.ContainsFunc(faults, func(f policy.Fault) bool { return !strings.HasPrefix(f.File, "--") }) {
		return err
	}
	if len(faults) > 1 {
		return &belljar.Error{Kind: belljar.KindUsage, Err: fmt.Errorf("%d flags cannot be read\n%w", len(faults), faults)}
	}
	f := faults[0]
	hint := f.Suggestion
	f.Suggestion = ""
	return &belljar.Error{Kind: belljar.KindUsage, Err: errors.New(f.String()), Hint: hint}
}

// notFound adds to the error for a command that was not found where it was looked
// for, and what may have been meant.
func (h *host) notFound(err error, args []string) error {
	var e *belljar.Error
	if !errors.As(err, &e) || e.Kind != belljar.KindNotFound || strings.ContainsRune(args[0], filepath.Separator) {
		return err
	}
	name := args[0]
	var hints []string
	if strings.ContainsAny(name, " \t") {
		hints = append(hints, "the command and its words are words of their own: belljar run -- "+name)
	} else if _, err := os.Lstat(h.abs(name)); err == nil {
		hints = append(hints, "there is a file of that name here: ./"+name)
	}
	looked := strings.Join(filepath.SplitList(h.getenv("PATH")), ", ")
	hints = append(hints, "looked in "+cmp.Or(looked, "no folder: PATH is empty"))
	if e.Hint != "" {
		hints = append(hints, e.Hint)
	}
	told := *e
	told.Hint = strings.Join(hints, "; ")
	return &told
}

// counted is n with its noun.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// nearest is the candidate that word was probably meant to be, or empty.
func nearest(word string, candidates []string) string {
	best, most := "", min(3, len(word)/2)
	for _, c := range candidates {
		if len(word) > 1 && strings.HasPrefix(c, word) {
			return c
		}
		if d := spell.Distance(word, c, most+1); d <= most {
			best, most = c, d-1
		}
	}
	return best
}
