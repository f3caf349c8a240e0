// Package sandbox is the supervisor of one sandbox: it joins plan, workspace,
// gateway, record, limits, terminal and backend, and sees the run to its end.
//
// [Run] is the whole life of a foreground sandbox. What it makes it writes down
// first ([Dirs]); whatever kills it, the next command finds and removes what is
// left ([Dirs.Sweep]). Everything of the sandbox notices the supervisor's death
// by itself.
//
// # Limitations
//
// Sandboxes run in the foreground only.
package sandbox
