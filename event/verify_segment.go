package event

// takeSegment judges whether a segment begins where one should, and as the one that it is:
// before are the bytes in front of the line.
func (c *chain) takeSegment(r *reader, line []byte, before int64) {
	begins, file := c.first, c.files
	if r.files != nil {
		file = r.files.index
	}
	switch {
	case r.files == nil && begins: // all segments in one
		file = c.files + 1
	case file == c.files && begins:
		c.report.fault(FaultOrder, c.line, "a segment begins here, in the midst of segment %d", file)
		return
	case file == c.files:
		return
	}
	c.files = file
	e, err := parseEntry(line)
	if err != nil || e.Segment == nil {
		c.report.fault(FaultForm, c.line, "segment %d does not begin as one", file)
		return
	}
	switch s := e.Segment; {
	case s.ID != c.report.ID:
		c.report.fault(FaultForeign, c.line, "segment %d is of the record of another sandbox, %q", file, s.ID)
	case s.Index != file:
		c.report.fault(FaultOrder, c.line, "segment %d stands where segment %d belongs: it was moved or copied", s.Index, file)
	case s.Before != before:
		c.report.fault(FaultCut, c.line, "segment %d was begun behind %d bytes, and there are %d: what is in front of it was changed", file, s.Before, before)
	}
}

// judgeLast looks at a last segment of which no line was read: it is put into place with its
// first ones.
func (c *chain) judgeLast(r *reader) {
	if r.files != nil && r.files.index != c.files && r.fail == nil {
		c.report.fault(FaultCut, 0, "segment %d has no line: those that it began with are missing", r.files.index)
	}
}
