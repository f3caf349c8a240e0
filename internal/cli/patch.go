package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/belljar-dev/belljar/workspace"
)

const hunkHelp = `y - apply this hunk
n - do not apply this hunk
q - quit; apply neither this hunk nor any of those that remain
a - apply this hunk and all later hunks in the file
d - apply neither this hunk nor any later hunk in the file
? - print help
`

// A picker asks for each hunk whether it is to be applied.
type picker struct {
	in    *bufio.Reader
	out   io.Writer
	color bool
	quit  bool
}

// applyHunks asks hunk by hunk, then applies what was chosen.
func (a *App) applyHunks(ctx context.Context, t *target) ([]workspace.Outcome, error) {
	changes, err := t.Pending()
	if err == nil {
		changes, err = t.Select(changes, t.paths...)
	}
	if err == nil {
		changes, err = t.Assess(changes)
	}
	if err != nil {
		return nil, t.explain(err)
	}
	p := &picker{in: bufio.NewReader(a.In), out: a.Out, color: useColor(a.Out)}
	var chosen []workspace.Choice
	for _, c := range changes {
		if p.quit {
			break
		}
		patch, err := t.Patch(c)
		if err != nil {
			return nil, err
		}
		if err := patch.Head(p.out, p.color); err != nil {
			return nil, err
		}
		if c.Conflict != "" {
			continue // shown, and kept
		}
		take, err := p.pick(patch)
		if err != nil {
			return nil, err
		}
		if choice := patch.Choose(take); choice != nil {
			chosen = append(chosen, *choice)
		}
	}
	if len(chosen) == 0 {
		if len(changes) > 0 {
			a.note("nothing was chosen")
		} else {
			a.note("nothing waits")
		}
		return nil, nil
	}
	return t.ApplyChosen(ctx, chosen)
}

// pick asks about each hunk of a change.
func (p *picker) pick(patch *workspace.Patch) (take []bool, err error) {
	n := patch.Hunks()
	take = make([]bool, n)
	for i := 0; i < n; i++ {
		if err := patch.Hunk(p.out, i, p.color); err != nil {
			return nil, err
		}
		key, err := p.ask(patch, i, n)
		if err != nil {
			return nil, err
		}
		switch key {
		case 'y':
			take[i] = true
		case 'a':
			for ; i < n; i++ {
				take[i] = true
			}
		case 'd':
			return take, nil
		case 'q':
			p.quit = true
			return take, nil
		}
	}
	return take, nil
}

// ask asks until the answer is a key; the end of the input is q.
func (p *picker) ask(patch *workspace.Patch, i, n int) (byte, error) {
	what := "this hunk"
	if patch.Whole() {
		what = map[workspace.Op]string{
			workspace.OpAdd: "this addition", workspace.OpDelete: "this deletion", workspace.OpMode: "this change of mode", workspace.OpModify: "this change",
		}[patch.Change.Op]
	}
	for {
		if _, err := fmt.Fprintf(p.out, "(%d/%d) Apply %s [y,n,q,a,d,?]? ", i+1, n, what); err != nil {
			return 0, err
		}
		line, err := p.in.ReadString('\n')
		if err != nil && err != io.EOF {
			return 0, err
		}
		key := strings.ToLower(strings.TrimSpace(line))
		if key != "" && strings.Contains("ynqad", key[:1]) {
			return key[0], nil
		}
		if err == io.EOF {
			fmt.Fprintln(p.out)
			return 'q', nil
		}
		if _, err := io.WriteString(p.out, hunkHelp); err != nil {
			return 0, err
		}
	}
}
