package cli

import (
	"context"

	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/keeper"
)

// A remembered is the keeper as a witness of the record's anchors.
type remembered struct{ heads *keeper.Heads }

// Keep implements [event.Witness].
func (r remembered) Keep(m event.Mark) { r.heads.Keep(m.Seq, m.Head) }

// Last implements [event.Witness].
func (r remembered) Last() (event.Mark, bool) {
	seq, head, ok := r.heads.Last()
	return event.Mark{Seq: seq, Head: head}, ok
}

// keeperWitness is the keeper, where one runs; done gives it up.
func (h *host) keeperWitness(ctx context.Context) (w event.Witness, done func()) {
	heads := keeper.DialHeads(ctx, keeper.Options{Runtime: h.dirs.Runtime, State: h.dirs.State, Home: h.home})
	return remembered{heads}, func() { _ = heads.Close() }
}

// witnesses are all that remember where the anchors ended.
func (h *host) witnesses(ctx context.Context) (all []event.Witness, done func()) {
	w, done := h.keeperWitness(ctx)
	return []event.Witness{event.WitnessFile(h.dirs.Runtime), w}, done
}
