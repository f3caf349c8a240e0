package workspace

import "time"

// CommitOptions say who commits what was applied, and how.
type CommitOptions struct {
	Message     string // with the trailers
	Name, Email string // the user's
	Time        time.Time
}

// A Commit is one that was made of what was applied.
type Commit struct {
	ID     string `json:"id,omitempty"` // in hex; empty when there was nothing to commit
	Branch string `json:"branch,omitempty"`
	// Skipped says of files that were applied and not committed why.
	Skipped map[string]string `json:"skipped,omitempty"`
}
