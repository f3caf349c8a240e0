//go:build race

package plan

// slower is how much slower the race detector may make things.
const slower = 10
