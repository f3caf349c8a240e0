package event

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"
)

// clockSlack is by how much the clock may have been set back while a record was
// written, before its first and last line say nothing of the times between.
const clockSlack = time.Hour

// Found is an entry and the record that it is of.
type Found struct {
	Entry
	Record *Info
}

// Search yields what f selects of records, record after record in the order given, each
// from its first line to its last. It uses every processor and bounded memory, and keeps
// no index: what it tells is in the files. Lines are first judged by their bytes, and only
// decoded where they can be meant, so that a damaged line is told, as an error, only where it
// looks like one of those; records that were over long before f.Since, or began long after
// f.Until, are not read. Raw is valid for as long as the entry is kept.
func Search(ctx context.Context, records []Info, f Filter) iter.Seq2[Found, error] {
	return searcher{block: 1 << 20, share: 16 << 20}.search(ctx, records, f)
}

// A searcher says how a search is cut into pieces.
type searcher struct {
	block int   // what is read at once
	share int64 // of one file, what one worker searches in one go
}

func (z searcher) search(ctx context.Context, records []Info, f Filter) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var work sync.WaitGroup
		defer work.Wait()
		defer cancel()
		for s := range z.start(ctx, &work, records, f) {
			for batch := range s.out {
				for i := range batch {
					if !yield(batch[i].found, batch[i].err) {
						return
					}
				}
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Found{}, err)
		}
	}
}

// start cuts records into shares, hands them to workers and yields them in order.
func (z searcher) start(ctx context.Context, work *sync.WaitGroup, records []Info, f Filter) <-chan *share {
	n := runtime.GOMAXPROCS(0)
	// Whoever comes first in jobs comes first in order, so that a worker that has to wait for
	// the reader never has the one before it wait for a worker.
	jobs, order := make(chan *share), make(chan *share, 4*n)
	for range n {
		work.Go(func() {
			w := worker{sieve: newSieve(&f), block: make([]byte, 0, z.block)}
			for s := range jobs {
				w.run(ctx, s)
			}
		})
	}
	work.Go(func() {
		defer close(order)
		defer close(jobs)
		for i := range records {
			for _, s := range z.shares(&records[i], &f) {
				select {
				case order <- s:
				case <-ctx.Done():
					return
				}
				select {
				case jobs <- s:
				case <-ctx.Done():
					close(s.out)
					return
				}
			}
		}
	})
	return order
}

// A share is the lines of a record that begin in a range of the bytes of one of its segments, or,
// where what came before has to be known, all of them.
type share struct {
	record *Info
	pieces []piece
	filter selector
	out    chan []finding
}

// A piece is a range of a segment's bytes.
type piece struct {
	segment  int
	from, to int64
}

type finding struct {
	found Found
	err   error
}

// shares are the parts of a record that have to be read.
func (z searcher) shares(i *Info, f *Filter) []*share {
	_, last, _, err := extent(i.Path)
	all, erra := segmentsOf(i.Path)
	if err != nil || erra != nil {
		return []*share{{record: i, pieces: []piece{{}}, out: make(chan []finding, 1)}} // the error is told in its place
	}
	if i.Last.After(last) {
		last = i.Last
	}
	if !f.Since.IsZero() && last.Add(clockSlack).Before(f.Since) || !f.Until.IsZero() && i.Start != nil && i.Time.Add(-clockSlack).After(f.Until) {
		return nil
	}
	var pieces []piece
	for _, n := range all {
		fi, err := os.Lstat(segmentPath(i.Path, n))
		if err != nil {
			pieces = append(pieces, piece{segment: n}) // as well
			continue
		}
		for from := int64(0); from < fi.Size(); from += z.share {
			pieces = append(pieces, piece{n, from, min(from+z.share, fi.Size())})
		}
	}
	group := 1
	if f.Process != "" {
		group = max(1, len(pieces)) // which process a number names is known from what came before
	}
	var shares []*share
	for p := range slices.Chunk(pieces, group) {
		shares = append(shares, &share{record: i, pieces: p, filter: selector{Filter: *f}, out: make(chan []finding, 4)})
	}
	return shares
}

// A worker searches shares, one after the other.
type worker struct {
	sieve sieve
	block []byte
	batch []finding
}

// maxBatch is how many findings are handed over at once.
const maxBatch = 256

func (w *worker) run(ctx context.Context, s *share) {
	defer close(s.out)
	w.batch = nil
	for _, p := range s.pieces {
		f, err := openSegment(s.record.Path, p.segment)
		if err == nil {
			err = w.read(ctx, f, s, p)
			f.Close()
		}
		if err != nil && removed(s.record.Path) {
			break // it is no record any more
		}
		if err != nil && ctx.Err() == nil {
			w.batch = append(w.batch, finding{err: fmt.Errorf("search record %s: %w", s.record.ID, err)})
		}
	}
	w.hand(ctx, s)
}

func (w *worker) hand(ctx context.Context, s *share) bool {
	if len(w.batch) == 0 {
		return ctx.Err() == nil
	}
	select {
	case s.out <- w.batch:
		w.batch = nil
		return true
	case <-ctx.Done():
		return false
	}
}

// read judges all lines of the share that begin in p. What is torn at the end of the file is no line.
func (w *worker) read(ctx context.Context, f *os.File, s *share, p piece) error {
	at := p.from // where the block begins in the file
	if at > 0 {
		at-- // a line that begins at from has a newline before it
	}
	skip, block := p.from > 0, w.block[:0]
	defer func() { w.block = block[:0] }()
	for {
		if len(block) == cap(block) {
			block = append(block, 0)[:len(block)] // a line that is longer than a block
		}
		n, err := f.ReadAt(block[len(block):cap(block)], at+int64(len(block)))
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		block = block[:len(block)+n]
		whole := bytes.LastIndexByte(block, '\n') + 1
		done := n == 0
		if lines := block[:whole]; whole > 0 {
			if skip {
				cut := bytes.IndexByte(lines, '\n') + 1
				lines, skip = lines[cut:], false
			}
			if base := at + int64(whole-len(lines)); base+int64(len(lines)) > p.to {
				lines, done = upTo(lines, p.to-base), true
			}
			if !w.judge(ctx, s, lines) {
				return nil
			}
			at += int64(whole)
			block = block[:copy(block, block[whole:])]
		}
		switch {
		case done || at >= p.to:
			return nil
		case len(block) > maxLine && skip: // it began in an earlier share, which tells it
			at, block = at+int64(len(block)), block[:0]
		case len(block) > maxLine:
			w.batch = append(w.batch, finding{err: fmt.Errorf("record %s: a line of more than %d bytes at byte %d", s.record.ID, maxLine, at)})
			skip, at, block = true, at+int64(len(block)), block[:0]
		}
	}
}

// upTo returns the lines that begin in the first n bytes.
func upTo(lines []byte, n int64) []byte {
	if n <= 0 {
		return nil
	}
	// The last of them begins before n, and ends with the newline at n-1 or later.
	end := bytes.IndexByte(lines[n-1:], '\n')
	return lines[:int(n)+end]
}

// judge looks through whole lines. It returns false when nobody waits for more.
func (w *worker) judge(ctx context.Context, s *share, lines []byte) bool {
	for len(lines) > 0 {
		line, rest := w.sieve.next(lines)
		if line == nil {
			break
		}
		lines = rest
		if !w.sieve.may(line) {
			continue
		}
		e, err := parseEntry(line)
		if err != nil {
			w.batch = append(w.batch, finding{err: fmt.Errorf("record %s: %w: belljar log verify %s tells more", s.record.ID, err, s.record.ID)})
		} else if s.filter.match(&e) {
			e.Raw = bytes.Clone(line)
			w.batch = append(w.batch, finding{found: Found{e, s.record}})
		}
		if len(w.batch) >= maxBatch && !w.hand(ctx, s) {
			return false
		}
	}
	return ctx.Err() == nil
}
