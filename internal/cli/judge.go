package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/judge"
	"github.com/belljar-dev/belljar/policy"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
)

const judgeLong = `Parses LINE as bash does and says what the policy makes of it: allow, ask or deny, with the
reason, the part of the line and the rule or guard that decided. Nothing is run. Every command
that the line can run is judged, through lists, loops, functions, substitutions, wrappers such
as env, xargs and bash -c, and options that run programs; the strictest verdict counts. What the
tables and rules do not know is asked.

The judge is not the boundary: it reads text. What holds is the sandbox.

Without --policy the policy here applies (presets, your own file, the project's belljar.yaml);
with it, that file alone. --batch reads one JSON object a line with id and cmd ("-": standard
input) and answers one a line with id, verdict, reason, rule and part; other fields are ignored.

EXIT STATUS
  0 allow, 1 ask, 126 deny; with --batch 0 when all lines were judged; 2 wrong
  usage or policy, or a line of the batch that cannot be read.
`

// judgeExit is the exit status of a verdict.
func judgeExit(v judge.Verdict) int {
	switch v {
	case judge.Allow:
		return 0
	case judge.Ask:
		return 1
	}
	return belljar.KindRefused.ExitStatus()
}

func (a *App) judgeCommand() *cobra.Command {
	var file, batch string
	var asJSON bool
	c := &cobra.Command{
		Use:     "judge [flags] -- 'LINE'",
		Short:   "say what the policy makes of a shell line: allow, ask or deny",
		GroupID: "policy",
		Long:    judgeLong,
		Example: "  belljar judge -- 'git status && sudo id'\n  belljar judge --policy belljar.yaml --batch cases.jsonl",
		Args: exactly(func(c *cobra.Command, args []string) error {
			if batch != "" {
				return cobra.NoArgs(c, args)
			}
			return cobra.ExactArgs(1)(c, args)
		}),
		RunE: func(c *cobra.Command, args []string) error {
			j, err := a.judgeHere(file)
			if err != nil {
				return err
			}
			if batch != "" {
				return a.judgeBatch(c.Context(), j, batch)
			}
			return a.judgeLine(j, args[0], asJSON)
		},
	}
	c.Flags().StringVar(&file, "policy", "", "judge by this policy `FILE` alone")
	c.Flags().StringVar(&batch, "batch", "", "judge the cases of a JSON-lines `FILE`; - is standard input")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// judgeHere makes the judge of a policy file, or of the policy here.
func (a *App) judgeHere(file string) (*judge.Judge, error) {
	var paths []string
	if file != "" {
		paths = append(paths, file)
	}
	h, err := a.enter(paths...)
	if err != nil {
		return nil, err
	}
	var p *policy.Policy
	dir := h.cwd
	if file != "" {
		p, err = a.loadFile(h, file)
	} else {
		p, dir, err = a.policyHere(h, &planFlags{}, "")
	}
	if err != nil {
		return nil, err
	}
	commands := p.Commands()
	fillContext(&commands.Context, h, p, dir)
	j, err := judge.New(commands)
	if err != nil {
		return nil, &belljar.Error{Op: "read policy", Kind: belljar.KindUsage, Err: err}
	}
	return j, nil
}

// fillContext says what the policy does not say of where lines are judged.
func fillContext(x *belljar.CommandContext, h *host, p *policy.Policy, dir string) {
	if x.Dir == "" {
		x.Dir = dir
	}
	if x.Home == "" {
		x.Home = h.home
	}
	if x.Writable == nil {
		x.Writable = []string{x.Dir, "/tmp"}
		for _, w := range p.Write() {
			x.Writable = append(x.Writable, w.Path)
		}
	}
}

func (a *App) judgeLine(j *judge.Judge, line string, asJSON bool) error {
	d := j.Line(line)
	a.status = judgeExit(d.Verdict)
	if asJSON {
		return a.printJSON(d)
	}
	fmt.Fprintf(a.Out, "%s: %s\n", d.Verdict, terminal.Escape(d.Reason))
	for _, f := range d.Findings {
		rule := f.Rule
		if rule == "" {
			rule = "-"
		}
		fmt.Fprintf(a.Out, "  %-5s  %s\n         %s  (%s)\n", f.Verdict, terminal.Escape(f.Part), terminal.Escape(f.Reason), terminal.Escape(rule))
	}
	return nil
}

// A batchCase is what is read of a line of a batch.
type batchCase struct {
	ID  json.RawMessage `json:"id"`
	Cmd *string         `json:"cmd"`
}

// A batchAnswer is the answer to one.
type batchAnswer struct {
	ID json.RawMessage `json:"id"`
	judge.Finding
}

// maxBatchLine bounds one line of a batch.
const maxBatchLine = 16 << 20

// judgeBatch answers every case of a file. Lines that cannot be read are named in the
// error; all others are answered.
func (a *App) judgeBatch(ctx context.Context, j *judge.Judge, file string) (err error) {
	in := io.Reader(a.In)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return &belljar.Error{Op: "read batch", ID: file, Kind: belljar.KindUsage, Err: errors.Unwrap(err)}
		}
		defer f.Close()
		in = f
	}
	out := bufio.NewWriter(a.Out)
	defer func() { err = errors.Join(err, out.Flush()) }()
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 1<<16), maxBatchLine)
	n := 0
	fail := func(err error) error {
		return &belljar.Error{Op: "read batch", ID: fmt.Sprintf("%s:%d", filepath.Base(file), n), Kind: belljar.KindUsage, Err: err, Hint: `each line is a JSON object such as {"id":"1","cmd":"git status"}`}
	}
	var bad error
	for lines.Scan() {
		n++
		if len(lines.Bytes()) == 0 {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		var c batchCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			bad = errors.Join(bad, fail(fmt.Errorf("not a JSON object: %w", err)))
			continue
		}
		if c.Cmd == nil {
			if isHeader(lines.Bytes()) {
				continue
			}
			bad = errors.Join(bad, fail(errors.New("no cmd")))
			continue
		}
		if err := enc.Encode(batchAnswer{c.ID, j.Line(*c.Cmd).Finding}); err != nil {
			return fmt.Errorf("write answers: %w", err)
		}
	}
	if err := lines.Err(); err != nil {
		n++
		return errors.Join(bad, fail(err))
	}
	return bad
}

// isHeader says whether a line describes a rule-set rather than a case.
func isHeader(line []byte) bool {
	var h struct{ Kind string }
	return json.Unmarshal(line, &h) == nil && h.Kind == "ruleset"
}
