//go:build !linux

package workspace

import (
	"context"
	"errors"
	"io"
)

// Pending returns errors.ErrUnsupported: only Linux has a shadow.
func (Project) Pending() ([]Change, error) { return nil, errors.ErrUnsupported }

// Settle returns errors.ErrUnsupported.
func (Project) Settle() ([]Change, error) { return nil, errors.ErrUnsupported }

// Assess returns errors.ErrUnsupported.
func (Project) Assess([]Change) ([]Change, error) { return nil, errors.ErrUnsupported }

// Diff returns errors.ErrUnsupported.
func (Project) Diff(io.Writer, []Change, DiffOptions) error { return errors.ErrUnsupported }

// Apply returns errors.ErrUnsupported.
func (Project) Apply(context.Context, ...string) ([]Outcome, error) {
	return nil, errors.ErrUnsupported
}

// Discard returns errors.ErrUnsupported.
func (Project) Discard(context.Context, ...string) ([]Change, error) {
	return nil, errors.ErrUnsupported
}

// Undo returns errors.ErrUnsupported.
func (Project) Undo(context.Context, ...string) ([]Outcome, error) {
	return nil, errors.ErrUnsupported
}

// LastRun returns errors.ErrUnsupported.
func (Project) LastRun() (*Run, error) { return nil, errors.ErrUnsupported }

// Recover does nothing.
func (Project) Recover(context.Context) ([]Outcome, error) { return nil, nil }

// ApplyChosen returns errors.ErrUnsupported.
func (Project) ApplyChosen(context.Context, []Choice) ([]Outcome, error) {
	return nil, errors.ErrUnsupported
}

// Patch returns errors.ErrUnsupported.
func (Project) Patch(Change) (*Patch, error) { return nil, errors.ErrUnsupported }

// Commit returns errors.ErrUnsupported.
func (Project) Commit([]Outcome, CommitOptions) (Commit, error) {
	return Commit{}, errors.ErrUnsupported
}
