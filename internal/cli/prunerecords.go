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
		i, err := event.Find(h.dirs.State, k.Name)
		if err != nil || i.ID != k.Name {
			continue // somebody else removed it
		}
		why := p.needed(&i)
		if why == "" {
			err = event.Remove(h.dirs.State, i.ID, seen...)
			switch belljar.KindOf(err) {
			case belljar.KindConflict:
				why = "its sandbox runs"
			case belljar.KindNoSuch:
				continue // as above
			}
		}
		switch {
		case why != "":
			a.note("record %s stays: %s", terminal.Escape(i.ID), terminal.Escape(why))
		case err != nil:
			return gone, err
		default:
			gone = append(gone, k)
		}
	}
	return gone, ctx.Err()
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
