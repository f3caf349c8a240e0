//go:build !linux

package shadow

import (
	"errors"
	"os"
	"time"
)

// A Store is an open shadow; only Linux has one.
type Store struct{}

// A View is the shadow of one tree; only Linux has one.
type View struct{ Source string }

// Create returns errors.ErrUnsupported.
func Create(string) (*Store, error) { return nil, errors.ErrUnsupported }

// Open returns errors.ErrUnsupported.
func Open(string) (*Store, error) { return nil, errors.ErrUnsupported }

// Use returns errors.ErrUnsupported.
func (*Store) Use() error { return errors.ErrUnsupported }

// Alone returns errors.ErrUnsupported.
func (*Store) Alone(time.Duration) (func(), error) { return nil, errors.ErrUnsupported }

// Sources returns errors.ErrUnsupported.
func (*Store) Sources() ([]string, error) { return nil, errors.ErrUnsupported }

// View returns errors.ErrUnsupported.
func (*Store) View(string) (*View, error) { return nil, errors.ErrUnsupported }

// CreateView returns errors.ErrUnsupported.
func (*Store) CreateView(string) (*View, error) { return nil, errors.ErrUnsupported }

// Close does nothing.
func (*View) Close() error { return nil }

// Walk returns errors.ErrUnsupported.
func (*View) Walk(func(Entry) error) error { return errors.ErrUnsupported }

// Lookup returns errors.ErrUnsupported.
func (*View) Lookup(string) (Entry, error) { return Entry{}, errors.ErrUnsupported }

// OpenFile returns errors.ErrUnsupported.
func (*View) OpenFile(string) (*os.File, error) { return nil, errors.ErrUnsupported }

// Base returns errors.ErrUnsupported.
func (*View) Base(string) (*Base, error) { return nil, errors.ErrUnsupported }

// SetBase returns errors.ErrUnsupported.
func (*View) SetBase(string, *Base) error { return errors.ErrUnsupported }

// Remove returns errors.ErrUnsupported.
func (*View) Remove(string) error { return errors.ErrUnsupported }

// Prune does nothing.
func (*View) Prune(string) {}
