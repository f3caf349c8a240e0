package cli

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/event/otlp"
	"github.com/belljar-dev/belljar/sandbox"
	"github.com/belljar-dev/belljar/terminal"
)

// keptRecord is a record, among what prune lists.
const keptRecord sandbox.KeptKind = "records"

// A recordPruner knows which records may be removed.
type recordPruner struct {
	h       *host
	recipes []sandbox.Recipe
	waits   waitCounter
}

func (h *host) recordPruner() (*recordPruner, error) {
	recipes, err := h.dirs.Recipes()
	return &recordPruner{h: h, recipes: recipes, waits: waitCounter{h: h, held: map[string]int{}}}, err
}

// keptRecords are all records, as prune lists them.
func (h *host) keptRecords() ([]sandbox.Kept, error) {
	infos, err := event.List(h.dirs.State)
	if err != nil {
		return nil, err
	}
	var out []sandbox.Kept
	for _, i := range infos {
		k := sandbox.Kept{Kind: keptRecord, Name: i.ID, Bytes: i.Bytes, Used: i.Last, Path: filepath.Dir(i.Path)}
		if k.Used.IsZero() {
			k.Used = i.Time
		}
		if i.Start != nil {
			k.Project = sandbox.ProjectKey(i.Start.Workspace)
		}
		out = append(out, k)
	}
	return out, nil
}

// needed says why the record must not be removed; empty: it may be.
func (p *recordPruner) needed(i *event.Info) string {
	switch {
	case i.Status == event.Running:
		return "its sandbox runs"
	case i.Status == event.Damaged:
		return "it is damaged, which belljar log verify tells about: move " + filepath.Dir(i.Path) + " away if you have seen that"
	case slices.ContainsFunc(p.recipes, func(r sandbox.Recipe) bool {
		return r.ID == i.ID || r.Name == i.Name && r.Workspace == i.Start.Workspace
	}):
		return "its sandbox is kept: belljar rm " + i.Name
	case (i.End == nil || i.End.Held > 0) && p.waits.waiting(i.Start.Workspace) > 0:
		return "what it changed waits in " + i.Start.Workspace + ": belljar diff"
	case otlp.Queued(p.h.dirs.State, i.ID):
		return "it was not sent whole to where the policy has it be sent"
	}
	return ""
}

// pruneRecords removes the records that nothing was written to after the time before. The
// anchors say so, and go on saying where each ended.
func (a *App) pruneRecords(ctx context.Context, h *host, before time.Time) ([]sandbox.Kept, error) {
	p, err := h.recordPruner()
	if err != nil {
		return nil, err // which sandboxes are kept is not known
	}
	list, err := h.keptRecords()
	if err != nil {
		return nil, err
	}
	seen, done := h.witnesses(ctx)
	defer done()
	var gone []sandbox.Kept
	for _, k := range list {
		if ctx.Err() != nil || !k.Used.Before(before) {
			continue
		}
		why, err := p.remove(k.Name, seen)
		switch {
		case why != "":
			a.note("record %s stays: %s", terminal.Escape(k.Name), terminal.Escape(why))
		case err != nil:
			return gone, err
		default:
			gone = append(gone, k)
		}
	}
	return gone, ctx.Err()
}

// remove removes a record, or says why it stays. One that is gone already was removed.
func (p *recordPruner) remove(id string, seen []event.Witness) (why string, err error) {
	i, err := event.Find(p.h.dirs.State, id)
	if err != nil || i.ID != id {
		return "", nil
	}
	if why = p.needed(&i); why != "" {
		return why, nil
	}
	err = event.Remove(p.h.dirs.State, i.ID, seen...)
	switch belljar.KindOf(err) {
	case belljar.KindConflict:
		return "its sandbox runs", nil
	case belljar.KindNoSuch:
		return "", nil
	}
	return "", err
}

// boundRecords removes the oldest records that nothing needs, until all together are no larger than
// most; 0 is any size. What cannot be removed is said: it is no reason not to run.
func (a *App) boundRecords(ctx context.Context, h *host, most int64) {
	if most == 0 {
		return
	}
	total, err := event.Size(h.dirs.State)
	if err == nil && total > most { // each is looked at only where they may be too large
		total, err = event.Recount(h.dirs.State)
	}
	if err == nil && total > most {
		var list []sandbox.Kept
		if list, err = h.keptRecords(); err == nil {
			total, err = a.removeOldest(ctx, h, list, total, most)
		}
	}
	switch {
	case err != nil:
		a.note("records could not be kept within %s: %s", size(most), terminal.Escape(err.Error()))
	case total > most:
		a.note("all records are %s, more than the policy's %s, and all that are left are needed: belljar prune records --older 1d says by what", size(total), size(most))
	}
}

// removeOldest is boundRecords where there is too much. It returns how much is left.
func (a *App) removeOldest(ctx context.Context, h *host, list []sandbox.Kept, total, most int64) (int64, error) {
	p, err := h.recordPruner()
	if err != nil {
		return total, err // which sandboxes are kept is not known
	}
	slices.SortStableFunc(list, func(x, y sandbox.Kept) int { return x.Used.Compare(y.Used) })
	seen, done := h.witnesses(ctx)
	defer done()
	gone, freed := 0, int64(0)
	for _, k := range list {
		if total-freed <= most || ctx.Err() != nil {
			break
		}
		why, err := p.remove(k.Name, seen)
		if err != nil {
			return total - freed, err
		}
		if why == "" {
			gone, freed = gone+1, freed+k.Bytes
		}
	}
	if gone > 0 {
		a.note("%s removed, %s: all together may have %s", counted(gone, "old record", "old records"), size(freed), size(most))
	}
	return total - freed, ctx.Err()
}

// oneLine is what prune shows of all records of a project: there may be thousands.
func oneLine(list []sandbox.Kept) []sandbox.Kept {
	var out []sandbox.Kept
	at := map[string]int{}
	for _, k := range list {
		i, ok := at[k.Project]
		if !ok {
			i = len(out)
			at[k.Project] = i
			out = append(out, sandbox.Kept{Kind: k.Kind, Project: k.Project, Used: k.Used})
		}
		out[i].Bytes += k.Bytes
		if k.Used.After(out[i].Used) {
			out[i].Used = k.Used
		}
	}
	return out
}
