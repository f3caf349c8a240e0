package sandbox

import (
	"context"
	"errors"
	"os"
	"path"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/api"
)

// readyWait is how long somebody who wants to start a further command waits for the first.
const readyWait = 20 * time.Second

// Exec implements [api.Control]: the command is one of the sandbox's like the first. It has
// the plan's identity, environment and limits, ends with the sandbox, and what it executes
// is judged and on record. The command itself comes from outside, as the first does: it is
// on record, and not judged.
func (c control) Exec(ctx context.Context, q api.ExecRequest, cmd *belljar.Command, by string) (belljar.Process, error) {
	r := c.r
	give := func(err error) (belljar.Process, error) {
		for _, f := range []*os.File{cmd.Stdin, cmd.Stdout, cmd.Stderr} {
			if f != nil {
				_ = f.Close()
			}
		}
		return nil, err
	}
	if err := q.Check(); err != nil {
		return give(err)
	}
	if err := r.awaitCommand(ctx); err != nil {
		return give(err)
	}
	cmd.Exec = belljar.Exec{Path: q.Argv[0], Argv: q.Argv, Dir: q.Dir}
	if cmd.Dir == "" {
		cmd.Dir = r.p.Command.Dir
	}
	if strings.Contains(cmd.Path, "/") && !path.IsAbs(cmd.Path) {
		cmd.Path = path.Join(cmd.Dir, cmd.Path)
	}
	cmd.Env = joinEnv(r.p.Env, q.Env)
	// Not with the caller's context: a start that is given up ends the sandbox.
	p, err := r.inst.Start(context.WithoutCancel(ctx), cmd)
	if err != nil && belljar.KindOf(err) == belljar.KindInternal && r.goes(ctx) {
		err = errOver // not what that looked like to the tier
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// errOver says that the sandbox has ended.
var errOver = &belljar.Error{Op: "exec", Kind: belljar.KindNoSuch, Err: errors.New("it has ended")}

// goes says whether the sandbox ends, or has ended: that may be known a moment later than what
// failed because of it.
func (r *run) goes(ctx context.Context) bool {
	if r.endedBy().Reason != "" {
		return true
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), staysGrace)
	defer cancel()
	_, err := r.inst.Wait(ctx)
	return err == nil || r.endedBy().Reason != ""
}

// awaitCommand waits until the sandbox's own command has been started, which comes first.
func (r *run) awaitCommand(ctx context.Context) error {
	if r.waits() {
		return &belljar.Error{Op: "exec", Kind: belljar.KindConflict, Err: errWaiting, Hint: "belljar pool stop ends what waits"}
	}
	wait := time.NewTimer(readyWait)
	defer wait.Stop()
	select {
	case <-r.runs:
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		return &belljar.Error{Op: "exec", Kind: belljar.KindConflict, Err: errors.New("the sandbox is still starting"), Hint: "try again"}
	}
	if r.endedBy().Reason != "" {
		return errOver
	}
	return nil
}

// joinEnv is env with more, whose values replace those of the same name.
func joinEnv(env, more []string) []string {
	set := map[string]bool{}
	for _, e := range more {
		name, _, _ := strings.Cut(e, "=")
		set[name] = true
	}
	var out []string
	for _, e := range env {
		if name, _, _ := strings.Cut(e, "="); !set[name] {
			out = append(out, e)
		}
	}
	return append(out, more...)
}
