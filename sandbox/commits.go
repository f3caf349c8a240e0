package sandbox

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/workspace/gitcommits"
	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/worktree"
)

const (
	// tipsWithin bounds the look at a repository's references before the start,
	// commitsWithin that at its new commits in the end.
	tipsWithin    = 300 * time.Millisecond
	commitsWithin = 500 * time.Millisecond
)

// repositories reads the references of what the sandbox may commit to: the project's
// repository, those whose git directories are served beside it, and those of known
// that lie in the project or in one of these. borrowed is where the objects are that a
// worktree has of the project.
func repositories(ctx context.Context, w *belljar.Workspace, borrowed string, known []rules.Repository) []gitcommits.Repository {
	switch w.Mode {
	case belljar.ModeLive:
	case belljar.ModeWorktree:
		ctx, cancel := context.WithTimeout(ctx, tipsWithin)
		defer cancel()
		r := gitcommits.Read(ctx, filepath.Join(w.Tree(), ".git"), "")
		r.Borrows = []string{borrowed}
		return []gitcommits.Repository{r}
	default:
		return nil // what is committed waits in the shadow
	}
	ctx, cancel := context.WithTimeout(ctx, tipsWithin)
	defer cancel()
	dirs := []string{}
	for _, v := range w.Views {
		if v.Git && !v.ReadOnly {
			dirs = append(dirs, v.Source)
		}
	}
	if g := filepath.Join(w.Dir, ".git"); len(dirs) == 0 {
		if i, err := os.Lstat(g); err != nil || i.IsDir() {
			dirs = append(dirs, g) // one that is made meanwhile counts too
		}
	}
	var out []gitcommits.Repository
	for _, d := range dirs {
		out = append(out, gitcommits.Read(ctx, d, ""))
	}
	within := append(slices.Clone(dirs), w.Dir)
	for _, k := range known {
		if slices.Contains(dirs, k.GitDir) || !slices.ContainsFunc(within, func(d string) bool { return below(k.GitDir, d) }) {
			continue
		}
		at, err := filepath.Rel(w.Dir, k.WorkTree)
		if err != nil || !filepath.IsLocal(at) {
			at = "" // it is checked out elsewhere, or nowhere
		}
		out = append(out, gitcommits.Read(ctx, k.GitDir, filepath.ToSlash(at)))
	}
	return out
}

// newCommits names the self-running files in commits that were made inside, and
// records each.
func (r *run) newCommits() gitcommits.Report {
	all := gitcommits.Report{Complete: true}
	ctx, cancel := context.WithTimeout(context.Background(), commitsWithin)
	defer cancel()
	judging := sync.OnceValues(func() (*rules.Rules, error) { return rules.New(rules.ForView(&r.p.Workspace, 0)) })
	for _, repo := range r.repos {
		rep, err := gitcommits.New(ctx, repo, judging)
		if err != nil {
			continue // it is no repository (any more)
		}
		all.Commits += rep.Commits
		all.Complete = all.Complete && rep.Complete
		all.Found = append(all.Found, rep.Found...)
	}
	slices.SortStableFunc(all.Found, func(a, b gitcommits.Finding) int { return order(a.Class.Runs(), b.Class.Runs()) })
	for _, f := range all.Found {
		// An event that cannot be written is the record's to report.
		_ = r.counts.next.Record(ctx, belljar.Event{Kind: belljar.EventFile, File: &belljar.FileEvent{
			Path: f.Path, Op: "commit", To: f.Commit, Verdict: "pass", Class: string(f.Class), Reason: f.Reason,
		}})
	}
	return all
}

// borrowed is the folder of objects that a worktree has of the project.
func borrowed(p *belljar.Plan) string {
	for _, m := range p.Mounts {
		if m.Target == worktree.Objects {
			return m.Source
		}
	}
	return ""
}
