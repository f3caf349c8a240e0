package git

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A history is commits without content; a parent is the number of an earlier commit.
type history [][]int

// chain is n commits in a row.
func chain(n int) (h history) {
	for i := range n {
		h = append(h, []int{i - 1}[:min(i, 1)])
	}
	return h
}

// pack is the history as a pack, with the ids of its commits. Those without a parent
// have one that is not in the pack.
func (h history) pack() (pack string, ids []string, edges int) {
	b := []byte("PACK\x00\x00\x00\x02")
	b = binary.BigEndian.AppendUint32(b, uint32(len(h)))
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	for i, parents := range h {
		text := "tree " + zero + "\n"
		for _, p := range parents {
			text += "parent " + ids[p] + "\n"
		}
		if len(parents) == 0 {
			text += "parent " + one + "\n"
		}
		edges += max(1, len(parents))
		text += fmt.Sprintf("\n%d\n", i)
		ids = append(ids, fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "commit %d\x00%s", len(text), text))))
		size := len(text)
		c := byte(1<<4 | size&15)
		for size >>= 4; size > 0; size >>= 7 {
			b = append(b, c|0x80)
			c = byte(size & 0x7f)
		}
		b = append(b, c)
		z.Reset()
		w.Reset(&z)
		_, _ = io.WriteString(w, text)
		_ = w.Close()
		b = append(b, z.Bytes()...)
	}
	sum := sha1.Sum(b)
	return string(append(b, sum[:]...)), ids, edges
}

// updates reads a push of many updates, OLD NEW, and says in how many steps it was
// judged and what it holds at its end.
func updates(ctx context.Context, t *testing.T, budget *Budget, sent string, oldNew ...[2]string) (p *Push, steps int, err error) {
	t.Helper()
	lines := make([]string, len(oldNew))
	for i, c := range oldNew {
		lines[i] = c[0] + " " + c[1] + fmt.Sprintf(" refs/heads/%d", i)
	}
	lines[0] += "\x00report-status"
	r := bufio.NewReader(strings.NewReader(head(lines...) + sent))
	p, _, err = ReadPush(r, budget)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	k := p.Pack(ctx, r).(*pack)
	_, err = io.Copy(io.Discard, k)
	return p, k.steps, err
}

// foreign is an id of nothing.
func foreign(i int) string { return fmt.Sprintf("%040x", i+5) }

// TestForwardSteps: what many updates cost is bounded by the size of the pack.
func TestForwardSteps(t *testing.T) {
	const n = 500
	pack, ids, edges := chain(n).pack()
	for _, c := range []struct {
		name               string
		updates, olds, new int // new: how many of the commits are new values
	}{
		{"one", 1, 1, 1}, {"one old commit", 1000, 1, n}, {"64", 64, 64, 1}, {"65", 65, 65, 1}, {"one new commit", 1000, 1000, 1}, {"many of both", 1000, 1000, n},
	} {
		var l [][2]string
		for i := range c.updates {
			l = append(l, [2]string{foreign(i % c.olds), ids[n-1-i%c.new]})
		}
		_, steps, err := updates(t.Context(), t, NewBudget(32<<20), pack, l...)
		var no *NotForward
		if !errors.As(err, &no) || len(no.Refusals) != c.updates {
			t.Errorf("%s: %v", c.name, err)
		}
		if want := (1 + (c.olds+63)/64) * (n + edges); steps != want {
			t.Errorf("%s: %d steps, want %d", c.name, steps, want)
		}
	}
}

// TestForwardStops: nobody looks on for a request that has ended, or beyond the budget.
func TestForwardStops(t *testing.T) {
	const n = 3000
	pack, ids, edges := chain(n).pack()
	update := [2]string{one, ids[n-1]}
	budget := NewBudget(32 << 20)
	_, steps, err := updates(t.Context(), t, budget, pack, update)
	if err != nil || steps != 2*(n+edges) {
		t.Fatalf("%d steps, %v", steps, err)
	}
	held := 32<<20 - budget.Left()
	if held < n*walkMemory {
		t.Errorf("%d bytes are held", held)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, steps, err := updates(ctx, t, NewBudget(32<<20), pack, update); !errors.Is(err, context.Canceled) || steps != walkSteps {
		t.Errorf("%d steps, %v", steps, err)
	}
	if _, _, err := updates(t.Context(), t, NewBudget(held), pack, update); err != nil {
		t.Errorf("with just enough: %v", err)
	}
	if _, _, err := updates(t.Context(), t, NewBudget(held-1), pack, update); err == nil || !strings.Contains(err.Error(), "push less at a time") {
		t.Errorf("with too little: %v", err)
	}
	w := walk{ctx: t.Context(), push: &Push{budget: budget}}
	w.push.Close()
	for w.steps < walkSteps && err == nil {
		err = w.step()
	}
	if !errors.Is(err, io.ErrClosedPipe) || w.steps != walkSteps {
		t.Errorf("closed: %d steps, %v", w.steps, err)
	}
}

// TestForwardRandom compares with looking for each old commit by itself.
func TestForwardRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		h := make(history, 1+r.IntN(150))
		for i := range h {
			for range min(i, r.IntN(3)) {
				h[i] = append(h[i], max(0, i-1-r.IntN(12)))
			}
		}
		pack, ids, _ := h.pack()
		var l [][2]string
		var want []string
		for range 200 {
			old, new := r.IntN(len(h)+2), r.IntN(len(h)) // the last two: not in the pack
			id := append(slices.Clone(ids), one, two)[old]
			if id == ids[new] {
				continue
			}
			if !h.leads(new, old) {
				want = append(want, fmt.Sprintf("refs/heads/%d", len(l)))
			}
			l = append(l, [2]string{id, ids[new]})
		}
		if len(l) == 0 {
			continue
		}
		_, _, err := updates(t.Context(), t, NewBudget(32<<20), pack, l...)
		var got []string
		var no *NotForward
		if errors.As(err, &no) {
			for _, r := range no.Refusals {
				got = append(got, r.Ref)
			}
		} else if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v: refused %v, want %v", h, got, want)
		}
	}
}

// leads says whether from leads to to; len(h) is what commits without a parent lead to.
func (h history) leads(from, to int) bool {
	todo, seen := []int{from}, make([]bool, len(h))
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if len(h[at]) == 0 && to == len(h) {
			return true
		}
		for _, p := range h[at] {
			if p == to {
				return true
			}
			if !seen[p] {
				seen[p] = true
				todo = append(todo, p)
			}
		}
	}
	return false
}
