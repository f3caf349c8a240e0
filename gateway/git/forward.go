package git

import "context"

// A walk finds out which of the updates of a push are fast-forwards. It is bounded: each
// commit and each of its parents is looked at once to put the commits in order, and once
// more for every 64 old commits, of at most 1000.
type walk struct {
	ctx   context.Context
	push  *Push
	byID  map[string]*commit
	order []*commit // what the new commits lead to, parents first
	steps int       // parents and commits looked at
}

const (
	// walkMemory is what a commit takes in the walk: its place in the order and on the stack.
	walkMemory = 64
	// walkSteps is after how many steps a walk looks whether it is still wanted.
	walkSteps = 1 << 12
)

// shown looks for every old commit among the ancestors of the new one.
func (k *pack) shown(ctx context.Context) error {
	updates := k.push.updates()
	if err := k.push.hold(int64(len(k.byID)) * walkMemory); err != nil {
		return err
	}
	w := &walk{ctx: ctx, push: k.push, byID: k.byID, order: make([]*commit, 0, len(k.byID))}
	forward, err := w.forward(updates)
	k.steps = w.steps
	if err != nil {
		return err
	}
	var no []Refusal
	for _, c := range updates {
		if !forward[c] {
			no = append(no, Refusal{Ref: c.Ref, Why: "not shown to be a fast-forward: the pushed commits do not lead from " + c.New[:10] + " back to " + c.Old[:10]})
		}
	}
	if no == nil {
		return nil
	}
	return &NotForward{no, no[0].Ref + ": " + no[0].Why}
}

// updates are the commands that must be fast-forwards.
func (p *Push) updates() (l []*Command) {
	for i := range p.Commands {
		if c := &p.Commands[i]; !c.creates() && c.Old != c.New {
			l = append(l, c)
		}
	}
	return l
}

// forward says which updates are fast-forwards.
func (w *walk) forward(updates []*Command) (map[*Command]bool, error) {
	for _, c := range updates {
		if err := w.sort(w.byID[c.New]); err != nil {
			return nil, err
		}
	}
	forward := make(map[*Command]bool)
	for rest := updates; len(rest) > 0; {
		var olds map[string]uint64
		olds, rest = bits(rest)
		if err := w.spread(olds); err != nil {
			return nil, err
		}
		for _, c := range updates {
			if from := w.byID[c.New]; from != nil && from.leads&olds[c.Old] != 0 {
				forward[c] = true
			}
		}
	}
	return forward, nil
}

// bits gives up to 64 old commits a bit each. The rest begins with the first update
// whose old commit has none.
func bits(updates []*Command) (olds map[string]uint64, rest []*Command) {
	olds = make(map[string]uint64, 64)
	for i, c := range updates {
		if olds[c.Old] != 0 {
			continue
		}
		if len(olds) == 64 {
			return olds, updates[i:]
		}
		olds[c.Old] = 1 << len(olds)
	}
	return olds, nil
}

// sort appends what is not in order yet of from and the commits that it leads to.
func (w *walk) sort(from *commit) error {
	type place struct {
		c    *commit
		next int // of its parents
	}
	if from == nil || from.placed {
		return nil
	}
	from.placed = true
	for stack := []place{{c: from}}; len(stack) > 0; {
		if err := w.step(); err != nil {
			return err
		}
		top := &stack[len(stack)-1]
		if top.next == len(top.c.parents) {
			w.order = append(w.order, top.c)
			stack = stack[:len(stack)-1]
			continue
		}
		parent := w.byID[top.c.parents[top.next]]
		top.next++
		if parent != nil && !parent.placed {
			parent.placed = true
			stack = append(stack, place{c: parent})
		}
	}
	return nil
}

// spread notes at every commit which of the old ones it leads to.
func (w *walk) spread(olds map[string]uint64) error {
	for _, c := range w.order {
		if err := w.step(); err != nil {
			return err
		}
		c.leads = 0
		for _, id := range c.parents {
			if err := w.step(); err != nil {
				return err
			}
			c.leads |= olds[id]
			if parent := w.byID[id]; parent != nil {
				c.leads |= parent.leads
			}
		}
	}
	return nil
}

// step counts a step, and fails once nobody waits for the walk any more.
func (w *walk) step() error {
	if w.steps++; w.steps%walkSteps != 0 {
		return nil
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	return w.push.open()
}
