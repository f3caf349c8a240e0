package evidence

import (
	"bytes"
	"fmt"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
)

// What is from inside cannot make an evidence file larger than this.
const (
	MaxNames = 500     // of each sort in the summary
	MaxName  = 1 << 10 // bytes of a name
	MaxAsked = 1000    // questions and answers

	maxAskedBytes = 3 << 20 // of them all, as JSON
)

// Tell fills in what the first events of the record in file say: Run, Enforcement,
// Approvals and Summary. The same record says the same each time.
func (p *Predicate) Tell(file string, events int) {
	p.Run, p.Approvals, p.ApprovalsCut, p.Enforcement = Run{}, []Approval{}, 0, []belljar.Enforcement{}
	left := maxAskedBytes
	s := event.Summarise(func(yield func(event.Entry, error) bool) {
		n := 0
		for e, err := range event.Read(file, event.Filter{}) {
			if n++; n > events { // what was written since it was checked
				return
			}
			if err == nil {
				p.take(&e, &left)
			}
			if !yield(e, err) {
				return
			}
		}
	})
	p.Summary = s.Top(MaxNames, MaxName)
}

// take takes from one line what the evidence says of it; left are the bytes that questions and
// answers may still have.
func (p *Predicate) take(e *event.Entry, left *int) {
	switch {
	case e.Start != nil:
		s := e.Start
		p.Run = Run{
			Argv: s.Argv, Workspace: s.Workspace, Tier: s.Tier, Version: s.Version, Binary: s.Binary, Policy: s.Policy, Started: e.Time,
		}
	case e.Plan != nil:
		p.Run.Plan = e.Hash
		p.Enforcement = append(p.Enforcement, e.Plan.Enforcement...)
	case e.End != nil:
		end := *e.End
		end.Argv = nil // of a sandbox that was taken: they are the run's already
		p.Run.End, p.Run.Ended = &end, e.Time
	case e.Take != nil:
		p.Run.Argv = e.Take.Argv // what it was made for is nothing that ran
	case e.Ask != nil:
		a := Approval{At: e.Time, Kind: e.Kind, Event: event.Cut(*e.Ask, MaxName)}
		b, err := compact(a)
		if *left -= len(b); err != nil || *left < 0 || len(p.Approvals) >= MaxAsked {
			*left = 0 // the first ones, without gaps
			p.ApprovalsCut++
			return
		}
		p.Approvals = append(p.Approvals, a)
	}
}

// sayTheSame says in what p tells otherwise of its run than the record in file does.
func (p *Predicate) sayTheSame(file string) error {
	var q Predicate
	q.Tell(file, p.Record.Events)
	for _, part := range []struct {
		name      string
		said, has any
	}{
		{"the run", p.Run, q.Run}, {"what was enforced", p.Enforcement, q.Enforcement}, {"questions and answers", p.Approvals, q.Approvals},
		{"how many questions and answers there were", p.ApprovalsCut, q.ApprovalsCut}, {"the summary", p.Summary, q.Summary},
	} {
		said, err := compact(part.said)
		if err != nil {
			return err
		}
		has, err := compact(part.has)
		if err != nil {
			return err
		}
		if !bytes.Equal(said, has) {
			return fmt.Errorf("what it says of %s is not what the record says", part.name)
		}
	}
	return nil
}
