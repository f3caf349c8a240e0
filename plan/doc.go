// Package plan turns what a user wants (a policy), what the host looks like
// ([Facts]) and what a tier enforces (capabilities) into a [belljar.Plan]: exactly
// what one sandbox is given.
//
//	f, err := plan.Gather(ctx, plan.GatherOptions{Command: argv, Env: os.Environ(), …})
//	p, err := plan.Make(policy, f, capabilities)
//	plan.Print(os.Stdout, p)
//
// # Model
//
// The package has two halves. [Gather] is the only code that looks at the host; it
// reads a bounded number of files, walks no tree, runs no program in the usual
// case and returns plain data. [Make] is pure: the same policy, facts and
// capabilities give the same plan, byte for byte, which is how it is tested.
//
// What the host says is not trusted. A `.git` file, a PATH, a link and a settings
// file can all be written by somebody else, so each one is bounded in size, each
// path is resolved to its real place first and judged there, and whatever fails a
// check is left out with a note that says so.
//
// # Limitations
//
// Facts are a snapshot. A folder that is replaced by a link between Gather and the
// start of the sandbox is caught by the tier, which resolves without following
// links, not here.
//
// A PATH entry is mounted whole and read-only: a secret that somebody keeps in a
// folder of programs is visible inside. Facts hold the caller's environment and
// must not leave the process; a Plan holds only what enters the sandbox.
package plan
