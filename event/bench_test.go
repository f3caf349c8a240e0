package event

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

func contextOf() context.Context { return context.Background() }

func benchRecord(b *testing.B) *Record {
	return newRecord(b, b.TempDir(), "bench", func(o *CreateOptions) { o.MaxBytes = 1 << 34 })
}

// One command after the other, each waiting for its event.
func BenchmarkBlocking(b *testing.B) {
	r := benchRecord(b)
	e := execEvent(1)
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		at := time.Now()
		if err := r.Record(contextOf(), e); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(at))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
}

func BenchmarkBlockingParallel(b *testing.B) {
	r := benchRecord(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := r.Record(contextOf(), execEvent(1)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// Droppable events, without sampling.
func BenchmarkDroppable(b *testing.B) {
	r := benchRecord(b)
	e := fileEvent("src/main.go")
	var n atomic.Int64
	for b.Loop() {
		if n.Add(1)%1000 == 0 {
			r.mu.Lock()
			clear(r.queue.buckets)
			r.mu.Unlock()
			if err := r.Record(contextOf(), execEvent(1)); err != nil {
				b.Fatal(err)
			}
		}
		if err := r.Record(contextOf(), e); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkCreateClose(b *testing.B) {
	state := b.TempDir()
	i := 0
	for b.Loop() {
		i++
		newRecord(b, state, "r"+strconv.Itoa(i)).Close(belljar.EndEvent{})
	}
}

func BenchmarkVerify(b *testing.B) {
	state := b.TempDir()
	r := newRecord(b, state, "v")
	for i := range 20_000 {
		if err := r.Record(contextOf(), execEvent(i)); err != nil {
			b.Fatal(err)
		}
	}
	r.Close(belljar.EndEvent{})
	b.SetBytes(r.size)
	for b.Loop() {
		mustVerify(b, state, "v", Ended)
	}
}

// A host in a million events of a thousand sandboxes, one in a hundred of which is meant.
func BenchmarkSearch(b *testing.B) {
	state := b.TempDir()
	const sandboxes, each = 1000, 1000
	at := time.Now()
	for n := range sandboxes {
		id := fmt.Sprintf("s%04d", n)
		r := newRecord(b, state, id)
		w := r.begin()
		for i := range each {
			e := execEvent(i)
			switch {
			case i%100 == 0:
				e = belljar.Event{Kind: belljar.EventConnect, Net: &belljar.NetEvent{Proto: "tls", Host: "api.example.com", Addr: "192.0.2.1", Port: 443}}
			case i%3 == 0:
				e = fileEvent("src/main.go")
			}
			e.Time = at
			body, err := redactor{}.encode(e)
			if err != nil {
				b.Fatal(err)
			}
			w.add(body)
		}
		if err := w.write(); err != nil {
			b.Fatal(err)
		}
		r.Close(belljar.EndEvent{})
	}
	for b.Loop() {
		infos, err := List(state)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for _, err := range Search(b.Context(), infos, Filter{Host: "api.example.com", Since: at.Add(-7 * 24 * time.Hour)}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != sandboxes*each/100 {
			b.Fatalf("%d found", n)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/million-events")
}
