package sandbox

import (
	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event/otlp"
)

// send has the record be sent to the receiver that the policy names, by a process of its own
// that is started before this one is confined.
func (r *run) send() error {
	if r.o.Receiver == nil {
		return nil
	}
	err := otlp.Enqueue(r.o.Dirs.State, r.p.ID, *r.o.Receiver)
	if err == nil { // now there is a receiver for what cannot be read, too
		_, _, err = otlp.Mend(r.o.Dirs.State)
	}
	if err == nil {
		err = otlp.Start(r.o.Dirs.State)
	}
	if err != nil {
		return &belljar.Error{Op: "send the record", ID: r.p.Name, Err: err, Hint: "is the disk full? Without otlp in the policy, records are not sent"}
	}
	return nil
}
