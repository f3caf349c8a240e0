package sandbox

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/workspace/gitcommits"
	"github.com/belljar-dev/belljar/workspace/rules"
)

const (
	// tipsWithin bounds the look at a repository's references before the start,
	// commitsWithin that at its new commits in the end.
	tipsWithin    = 100 * time.Millisecond
	commitsWithin = 200 * time.Millisecond
)

// A repository is a git directory that the sandbox may commit to, with its
// references as they were before.
type repository struct {
	dir    string
	before gitcommits.Tips
}

// repositories reads the references of the project's repository, and of those whose
// git directories are served beside it.
func repositories(ctx context.Context, w *belljar.Workspace) []repository {
	if w.Mode != belljar.ModeLive {
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
	var out []repository
	for _, d := range dirs {
		tips, _ := gitcommits.ReadTips(ctx, d) // unreadable or not there: everything is new
		out = append(out, repository{d, tips})
	}
	return out
}

// newCommits names the self-running files in commits that were made inside, and
// records each.
func (r *run) newCommits() gitcommits.Report {
	all := gitcommits.Report{Complete: true}
	ctx, cancel := context.WithTimeout(context.Background(), commitsWithin)
	defer cancel()
	o := rules.ForView(&r.p.Workspace, 0)
	judge, err := rules.New(o)
	if err != nil {
		return all
	}
	for _, repo := range r.repos {
		rep, err := gitcommits.New(ctx, repo.dir, repo.before, judge)
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
