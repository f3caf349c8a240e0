package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/evidence"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
)

type evidenceFlags struct {
	key, record string
	asJSON      bool
}

func (a *App) evidenceVerifyCommand() *cobra.Command {
	var f evidenceFlags
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "check evidence, on any machine and offline",
		Long: `Checks the signature of evidence and says what it states, what that proves and what it does
not. FILE is - for standard input. With --key it has to be signed by that key; without, compare the
fingerprint with what you were told by another way. With --record the record itself is held against it.
Exits 1 when something does not fit.
`,
		Example: "  belljar evidence verify mine.json --key SHA256:… --record events.jsonl",
		Args:    exactly(cobra.ExactArgs(1)),
		RunE:    func(_ *cobra.Command, args []string) error { return a.evidenceVerify(&f, args[0]) },
	}
	c.Flags().StringVar(&f.key, "key", "", "the `KEY` that must have signed it: a fingerprint, or the public key in base64")
	c.Flags().StringVar(&f.record, "record", "", "the record's events.jsonl in `FILE`, to be compared")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print the statement as JSON when it holds")
	_ = c.RegisterFlagCompletionFunc("key", cobra.NoFileCompletions)
	return c
}

func (a *App) evidenceVerify(f *evidenceFlags, path string) error {
	b, err := readEvidence(a.In, path)
	if err != nil {
		return &belljar.Error{Op: "read evidence", ID: path, Kind: belljar.KindUsage, Err: err, Hint: "belljar evidence NAME >FILE makes it"}
	}
	s, err := evidence.Verify(b, evidence.Options{Key: f.key})
	var compared evidence.Comparison
	if err == nil && f.record != "" {
		compared, err = evidence.CompareRecord(s, f.record)
	}
	if err != nil {
		a.status = 1
		printError(a.Err, &belljar.Error{Op: "verify evidence", ID: path, Err: err, Hint: "it proves nothing: ask for it again, and for the fingerprint of the key"})
		return nil
	}
	if len(s.Predicate.Record.Faults) > 0 || compared.Chain != nil {
		a.status = 1
	}
	if f.asJSON {
		if f.record != "" {
			a.note("the record in %s %s", terminal.Escape(f.record), comparedText(&s.Predicate, &compared))
		}
		return a.printJSON(s)
	}
	return printEvidence(a.Out, s, f, &compared)
}

func readEvidence(in *os.File, path string) ([]byte, error) {
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, evidence.MaxFile+1))
	if err == nil && len(b) > evidence.MaxFile {
		err = fmt.Errorf("it has more than %d MiB", evidence.MaxFile>>20)
	}
	return b, err
}

// printEvidence says what is stated, what of it is proven, and what is not. Everything in
// the statement is from elsewhere.
func printEvidence(w io.Writer, s *evidence.Statement, f *evidenceFlags, c *evidence.Comparison) error {
	var b strings.Builder
	p := &s.Predicate
	esc := terminal.Escape
	line := func(name, format string, v ...any) { fmt.Fprintf(&b, "%-12s%s\n", name, fmt.Sprintf(format, v...)) }
	line("signed by", "%s", esc(p.Signer.Fingerprint))
	line("made", "%s on %s (%s %s, kernel %s)", p.Made.UTC().Format(time.RFC3339), esc(p.Host.Name), esc(p.Host.System), esc(p.Host.Arch), esc(p.Host.Kernel))
	line("record", "%s (%s), %d events, %s, head %s", esc(p.Record.Name), esc(p.Record.ID), p.Record.Events, esc(string(p.Record.Status)), esc(p.Record.Head))
	line("command", "%s", event.Command(p.Run.Argv))
	line("in", "%s, tier %s, started %s", esc(p.Run.Workspace), esc(p.Run.Tier), p.Run.Started.UTC().Format(time.RFC3339))
	line("belljar", "%s, SHA-256 %s", esc(p.Run.Version), esc(p.Run.Binary))
	line("policy", "SHA-256 %s", esc(p.Run.Policy))
	line("plan", "SHA-256 %s", esc(p.Run.Plan))
	line("approvals", "%d questions and answers", len(p.Approvals)+p.ApprovalsCut)
	line("waits", "%s", waitsText(p))
	for _, v := range p.Verified {
		line("verified", "tier %s at %s: %d passed, %d failed%s", esc(v.Tier), v.At.UTC().Format(time.RFC3339), v.Passed, v.Failed, otherProgram(p, &v))
	}
	if p.VerifiedNote != "" {
		line("verified", "%s", esc(p.VerifiedNote))
	}
	b.WriteString("\nProven:\n")
	fmt.Fprintf(&b, "  whoever has the key %s signed exactly this\n", esc(p.Signer.Fingerprint))
	if f.key != "" {
		b.WriteString("  that is the key that you named\n")
	}
	if f.record != "" {
		fmt.Fprintf(&b, "  the record in %s %s\n", esc(f.record), comparedText(p, c))
	}
	b.WriteString("Not proven:\n")
	if f.key == "" {
		b.WriteString("  whose key it is: compare the fingerprint with what its owner told you, or give it with --key\n")
	}
	if f.record == "" {
		b.WriteString("  that the record still exists: give it with --record\n")
	}
	if c.Later > 0 {
		fmt.Fprintf(&b, "  the %d later bytes of that record, of which this says nothing\n", c.Later)
	}
	if c.Chain != nil {
		fmt.Fprintf(&b, "  that the record tells what happened: its chain does not hold, %s\n", esc(c.Chain.Error()))
	}
	b.WriteString("  that the account and the host that made it were honest, and their clock right\n")
	for _, x := range p.Record.Faults {
		fmt.Fprintf(&b, "\nThe record had been changed when this was made: %s: %s", esc(string(x.Kind)), esc(x.What))
	}
	if len(p.Record.Faults) > 0 {
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// comparedText says what is known of a record that was held against p.
func comparedText(p *evidence.Predicate, c *evidence.Comparison) string {
	s := "is the one that is meant, byte for byte, and says the same of the run"
	if c.Later > 0 {
		s = fmt.Sprintf("begins with the %d bytes that are meant, which say the same of the run", p.Record.Bytes)
	}
	if c.Chain == nil {
		s += "; the chain of its lines holds"
	}
	return s
}

func otherProgram(p *evidence.Predicate, v *evidence.Verified) string {
	if v.Binary != p.Run.Binary {
		return ", with another program than this run's"
	}
	return ""
}

func waitsText(p *evidence.Predicate) string {
	n, err := evidence.CountWaits(p)
	switch {
	case p.WaitsNote != "":
		return terminal.Escape(p.WaitsNote)
	case err != nil:
		return "what is said of it cannot be read"
	}
	return counted(n, "change", "changes")
}
