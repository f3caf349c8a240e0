package cli

import (
	"fmt"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/policy"
	"github.com/belljar-dev/belljar/terminal"
)

// A diskUse is what doctor says of the disk that belljar's state lies on.
type diskUse struct {
	State   string          `json:"state"`   // the folder of records, shadows and kept homes
	Records int64           `json:"records"` // bytes of all records together
	Bound   int64           `json:"bound,omitempty"`
	Origin  *belljar.Origin `json:"bound_origin,omitempty"` // where the bound is said
	Free    int64           `json:"free,omitempty"`         // bytes that this user may still write
	Size    int64           `json:"size,omitempty"`         // of the file system
	Warning []string        `json:"warnings,omitempty"`
}

// What is nearly full: nine tenths of the bound; less than a twentieth of the file
// system free, or than 1 GiB where it is larger than that.
const leastFree = 1 << 30

// disk looks at the state's disk. It does not look at each record.
func (a *App) disk(h *host) *diskUse {
	d := &diskUse{State: h.dirs.State}
	var err error
	if d.Records, err = event.Size(h.dirs.State); err != nil {
		d.warn("how large the records are is not known: %v", err)
	}
	p, err := policy.Load(a.userOptions(h))
	if err != nil {
		d.warn("the bound of records is not known, as no run can read the policy: %v", err)
	} else if d.Bound = p.Records(); d.Bound > 0 {
		o := p.RecordsOrigin()
		d.Origin = &o
	}
	d.Free, d.Size = diskSpace(h.dirs.State)
	d.judge()
	return d
}

// judge says what is nearly full.
func (d *diskUse) judge() {
	switch {
	case d.Bound > 0 && d.Records > d.Bound:
		d.warn("the records are %s, more than their bound of %s: the next run begins with removing the oldest that nothing needs", size(d.Records), size(d.Bound))
	case d.Bound > 0 && d.Records >= d.Bound-d.Bound/10:
		d.warn("the records are %s of the %s that they may be: soon a run begins with removing the oldest that nothing needs", size(d.Records), size(d.Bound))
	}
	if d.Size > 0 && (d.Free < d.Size/20 || d.Free < min(leastFree, d.Size/2)) {
		d.warn("only %s of %s are free for %s: a run whose record cannot be written is stopped; belljar prune says what can be removed", size(d.Free), size(d.Size), d.State)
	}
}

func (d *diskUse) warn(format string, args ...any) {
	d.Warning = append(d.Warning, fmt.Sprintf(format, args...))
}

func (a *App) printDisk(d *diskUse) {
	bound := "bounded by nothing (records: 50GiB in your policy bounds them)"
	if d.Bound > 0 {
		bound = "at most " + size(d.Bound) + ", written" + terminal.Escape(place(*d.Origin))
	}
	fmt.Fprintf(a.Out, "records: %s, %s\n", size(d.Records), bound)
	if d.Size > 0 {
		fmt.Fprintf(a.Out, "disk: %s of %s free for %s\n", size(d.Free), size(d.Size), terminal.Escape(d.State))
	}
	for _, w := range d.Warning {
		fmt.Fprintf(a.Out, "warning: %s\n", terminal.Escape(w))
	}
}
