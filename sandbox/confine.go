package sandbox

import (
	"os"
	"path/filepath"
	"strconv"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/internal/confine"
	"github.com/belljar-dev/belljar/internal/confine/calls"
	"github.com/belljar-dev/belljar/workspace/gitcommits"
)

// confine takes from this process what it does not need until its end, before anything
// of the sandbox can reach it: from here on it starts no process.
func (r *run) confine() error {
	if !r.o.Confine {
		return nil
	}
	if err := confine.Self(r.needed()); err != nil {
		return &belljar.Error{Op: "confine the supervisor", ID: r.p.Name, Kind: belljar.KindInternal, Err: err}
	}
	confine.Attack()
	return nil
}

// needed is what the supervisor still reads and writes. Its standard streams, the record
// and the links are open. What credentials are read from is read elsewhere: see
// [credential.Keys.Detach].
func (r *run) needed() confine.Options {
	state, w := r.o.Dirs.State, &r.p.Workspace
	o := confine.Options{
		Read: append(confine.System(os.Getenv), w.Dir),
		// Their folders are walked to what is removed, and what they have grown by is counted.
		List: append([]string{state, r.o.Dirs.Runtime}, privateFolders(r.p)...),
		Write: []string{
			event.NextFolder(state, r.p.ID),
			filepath.Join(r.o.Dirs.Runtime, r.p.ID), r.o.Dirs.sandbox(r.p.ID), w.Shadow,
			filepath.Join(state, "sandboxes.lock"), filepath.Join(state, "anchors"), event.WitnessPath(r.o.Dirs.Runtime),
		},
		Remove: []string{r.o.Dirs.Runtime, filepath.Join(state, "sandboxes"), filepath.Join(state, "records-open")},
		// Where the record goes on: what is written is out of reach.
		Into:  []string{filepath.Dir(event.NextFolder(state, r.p.ID))},
		Calls: calls.Options{Internet: true, Mend: true},
	}
	if w.Mode == belljar.ModeWorktree {
		o.Remove = append(o.Remove, filepath.Dir(w.Tree())) // where nothing was done in it
	}
	if r.o.Detached != nil {
		o.Write = append(o.Write, r.o.Dirs.Output(r.p.ID))
	}
	for _, v := range w.Views {
		o.Read = append(o.Read, v.Source)
	}
	for _, g := range r.repos {
		o.Read = append(append(o.Read, g.GitDir), gitcommits.Folders(g)...)
	}
	for _, f := range []*os.File{r.o.Out, r.o.Err} {
		// A terminal is opened once more, so that writing to it does not block.
		if p, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd()))); err == nil && below(p, "/dev") {
			o.Write = append(o.Write, p)
		}
	}
	return o
}
