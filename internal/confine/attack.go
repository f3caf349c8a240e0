//go:build !ablation || !linux

package confine

// Attack does nothing: only a test build tries what a confined process must not do.
func Attack() {}
