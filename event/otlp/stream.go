package otlp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/belljar-dev/belljar/event"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	logs "go.opentelemetry.io/proto/slim/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/slim/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/slim/otlp/trace/v1"
)

// Bounds of a request, before it is compressed; one event may be beyond.
const (
	maxEvents = 512
	maxBytes  = 1 << 20
)

func scope() *common.InstrumentationScope { return &common.InstrumentationScope{Name: scopeName} }

// A stream is a record that is being sent.
type stream struct {
	id   string
	item *item
	tail *event.Tail

	res   *resource.Resource
	spans *spans
	batch *batch
	gone  bool // nobody writes the record any more
	done  bool // all of it is in the batch, or was sent
}

// A batch is what is sent next; next is the event behind it.
type batch struct {
	logs  []*logs.LogRecord
	spans []*trace.Span
	next  uint64
}

func openStream(state, id string) (*stream, error) {
	it, err := load(state, id)
	if err != nil {
		return nil, err
	}
	t, err := event.OpenTail(filepath.Join(state, "records", id, "events.jsonl"))
	if err != nil {
		return nil, err
	}
	return &stream{id: id, item: it, tail: t, spans: newSpans(id)}, nil
}

// fill reads on until there is a batch, or nothing more for now.
func (t *stream) fill() error {
	if t.batch != nil || t.done {
		return nil
	}
	b := &batch{}
	for size := 0; len(b.logs) < maxEvents && len(b.spans) < maxEvents && size < maxBytes; {
		e, _, ok, err := t.tail.Next()
		if err != nil {
			return err
		}
		if !ok {
			if t.over(b) {
				break
			}
			if t.gone {
				continue // it may have been written to before its writer went
			}
			break
		}
		if e.Start != nil {
			t.res = resourceOf(e.Start)
		}
		ended := t.spans.take(&e)
		if e.Seq >= t.item.Spans {
			b.spans = append(b.spans, ended...)
		}
		if e.Seq >= t.item.Logs {
			b.logs = append(b.logs, record(t.id, &e))
			size += len(e.Raw)
		}
		b.next = e.Seq + 1
	}
	if len(b.logs)+len(b.spans) > 0 {
		t.batch = b
	}
	return nil
}

// over says whether nothing follows; then the spans of a run that was killed end too.
func (t *stream) over(b *batch) bool {
	ended, gone := t.tail.Over()
	switch {
	case ended:
	case gone && t.gone:
		b.spans = append(b.spans, t.spans.killed()...)
		b.next = max(b.next, t.item.Spans)
	default:
		t.gone = gone
		return false
	}
	t.done = true
	return true
}

// step sends a batch, if there is one. sent says whether there was.
func (s *sender) step(ctx context.Context, t *stream) (sent bool, err error) {
	if err := t.fill(); err != nil {
		return false, err
	}
	if t.batch == nil {
		return false, nil
	}
	b := t.batch
	if len(b.logs) > 0 {
		post := func(l []*logs.LogRecord) (int64, string, error) { return s.postLogs(ctx, t.item.Destination, t.res, l) }
		if err := split(t.item, b.logs, post); err != nil {
			return false, err
		}
		b.logs, t.item.Logs = nil, b.next
		if err := save(s.state, t.id, t.item); err != nil {
			return false, err
		}
	}
	if len(b.spans) > 0 {
		post := func(l []*trace.Span) (int64, string, error) { return s.postSpans(ctx, t.item.Destination, t.res, l) }
		if err := split(t.item, b.spans, post); err != nil {
			return false, err
		}
	}
	t.batch, t.item.Spans = nil, max(b.next, t.item.Spans)
	return true, save(s.state, t.id, t.item)
}

// split sends list; what the receiver calls bad is halved until it is one, and counted.
func split[T any](it *item, list []T, post func([]T) (int64, string, error)) error {
	n, says, err := post(list)
	switch {
	case err == nil:
		if it.Rejected += n; n > 0 || says != "" {
			it.Says = clip(says)
		}
		return nil
	case !errors.Is(err, errBad):
		return err
	case len(list) == 1:
		it.Rejected++
		it.Says = clip(err.Error())
		return nil
	}
	if err := split(it, list[:len(list)/2], post); err != nil {
		return err
	}
	return split(it, list[len(list)/2:], post)
}

// close forgets t; all: everything of it was acknowledged.
func (t *stream) close(state string, all bool) error {
	err := t.tail.Close()
	if !all {
		return err
	}
	name := filepath.Join(state, queueDir, t.id)
	if t.item.Rejected > 0 { // kept, so that somebody may learn why
		return errors.Join(err, os.Rename(name, filepath.Join(state, queueDir, refusedPrefix+t.id)))
	}
	if e := os.Remove(name); e != nil && !errors.Is(e, fs.ErrNotExist) {
		return fmt.Errorf("forget what was sent: %w", e)
	}
	return err
}
