package git

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// zeros is a pack of one blob of n zeros.
func zeros(n int) []byte {
	b := []byte("PACK\x00\x00\x00\x02\x00\x00\x00\x01")
	size := n
	c := byte(3<<4 | size&15)
	for size >>= 4; size > 0; size >>= 7 {
		b = append(b, c|0x80)
		c = byte(size & 0x7f)
	}
	b = append(b, c)
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	_, _ = io.CopyN(w, zeroReader{}, int64(n))
	_ = w.Close()
	return append(append(b, z.Bytes()...), make([]byte, 20)...)
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestPace: a pack of zeros, which is small, costs a bounded part of a processor.
func TestPace(t *testing.T) {
	const size = 2 * inflateBurst
	sent := zeros(size)
	if len(sent) > 1<<20 {
		t.Fatalf("%d bytes are no small pack", len(sent))
	}
	read := func(ctx context.Context, budget *Budget) error {
		p := &Push{idLen: 40, budget: budget, Commands: []Command{{Old: strings.Repeat("1", 40), New: strings.Repeat("2", 40), Ref: "refs/heads/x"}}}
		defer p.Close()
		_, err := io.Copy(io.Discard, p.Pack(ctx, bufio.NewReader(bytes.NewReader(sent))))
		return err
	}
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(1 << 30)
		began := time.Now()
		var no *NotForward
		if err := read(t.Context(), budget); !errors.As(err, &no) {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took < 900*time.Millisecond || took > 1100*time.Millisecond {
			t.Errorf("the first took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := read(ctx, budget); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a push that is given up: %v", err)
		}
		time.Sleep(time.Hour)
		began = time.Now()
		_ = budget.inflate.take(t.Context(), inflateBurst)
		if took := time.Since(began); took != 0 {
			t.Errorf("after a rest it took %v", took)
		}
	})
}
