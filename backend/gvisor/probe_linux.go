package gvisor

import (
	"context"

	"github.com/belljar-dev/belljar"
)

// Probe implements [belljar.Backend].
func (b *Backend) Probe(context.Context) (belljar.Capabilities, error) {
	return belljar.Capabilities{Tier: Name, Usable: true}, nil
}
