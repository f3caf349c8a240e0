package policy

import (
	"fmt"

	"github.com/belljar-dev/belljar"
)

// keyRecords bounds all records together. It is no limit of a sandbox, and a project's file has no
// say in it: it would remove the records of other projects.
const keyRecords = "records"

// leastRecords is the least bound: records say what is needed to answer for a run.
const leastRecords = mib

func (d *decoder) records(p pair) {
	if d.src.layer == layerProject {
		d.add(d.at(p.value), keyRecords, "write it into your own policy, or into the organisation's", "a project's file cannot say how much is kept of other projects")
		return
	}
	s, ok := d.number(p.value, keyRecords, "a size such as 50GiB")
	if !ok {
		return
	}
	n, err := parseSize(s)
	if err == nil && n < leastRecords {
		err = fmt.Errorf("%s is less than %s", s, formatSize(leastRecords))
	}
	if err != nil {
		d.add(d.at(p.value), keyRecords, "write a size such as 50GiB", "%s", err)
		return
	}
	d.doc.records = &item[int64]{n, d.at(p.value)}
}

// recordsRule is records.
type recordsRule struct{}

func (recordsRule) merge(s *state, d *document) {
	if d.records != nil {
		s.records = d.records
	}
}

// tighten: the decoder refuses the key in a project's file.
func (recordsRule) tighten(*state, *state, *document, *report) {}

// limit: the organisation's bound is the only one, as it may have to keep what a smaller one loses.
func (recordsRule) limit(s *state, c *document, _ *report, cut func(string, mark)) {
	if c.records == nil {
		return
	}
	if s.records != nil && s.records.value != c.records.value {
		cut(keyRecords+": "+formatSize(s.records.value), c.records.mark)
	}
	s.records = c.records
}

// Records is how many bytes all records together may have; 0: any.
func (p *Policy) Records() int64 {
	if p.state.records == nil {
		return 0
	}
	return p.state.records.value
}

// RecordsOrigin is where that is said, if it is.
func (p *Policy) RecordsOrigin() belljar.Origin {
	if p.state.records == nil {
		return belljar.Origin{}
	}
	return p.state.records.origin()
}

// diffRecords: what is kept for a shorter time says less.
func diffRecords(a, b *state) []Change {
	word := func(i *item[int64]) item[string] {
		if i == nil {
			return item[string]{}
		}
		return item[string]{formatSize(i.value), i.mark}
	}
	return diffPresence(keyRecords, word(a.records), word(b.records))
}
