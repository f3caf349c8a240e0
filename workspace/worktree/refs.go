package worktree

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"time"
)

// setRef moves a reference from old ("" for none) to new, under git's lock for it. In
// dir its file lies: the common directory, or the git directory for HEAD.
func (r *repo) setRef(dir *os.Root, ref, old, id, why string) (err error) {
	if d := path.Dir(ref); d != "." {
		if err := dir.MkdirAll(d, 0o777); err != nil {
			return fmt.Errorf("make %s: %w", d, err)
		}
	}
	lock := ref + ".lock"
	f, err := lockRef(dir, lock)
	if err != nil {
		return fmt.Errorf("lock %s: %w", ref, err)
	}
	defer func() {
		if err != nil {
			_ = dir.Remove(lock)
		}
	}()
	_, err = fmt.Fprintf(f, "%x\n", id)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if ref != "HEAD" {
		now, err := r.ref(ref)
		if errors.Is(err, errNoRef) {
			now, err = "", nil
		}
		if err != nil {
			return err
		}
		if now == id { // another merge brought the same home
			return dir.Remove(lock)
		}
		if now != old {
			return fmt.Errorf("%s has moved meanwhile", ref)
		}
		if old == "" && dir.Mkdir(ref, 0o700) == nil {
			_ = dir.Remove(ref) // nor is there a folder of that name
		}
	}
	if err := dir.Rename(lock, ref); err != nil {
		return err
	}
	r.log(dir, ref, old, id, why)
	return nil
}

// refPatience is how long a reference that another program moves is waited for, as git does.
const refPatience = time.Second

// lockRef makes the file that is git's lock of a reference.
func lockRef(dir *os.Root, lock string) (*os.File, error) {
	for until := time.Now().Add(refPatience); ; time.Sleep(10 * time.Millisecond) {
		f, err := dir.OpenFile(lock, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		switch {
		case !errors.Is(err, fs.ErrExist):
			return f, err
		case time.Now().After(until):
			return nil, fmt.Errorf("another program moves it, or one that was killed left %s, which may be removed then", lock)
		}
	}
}

// log notes where a reference was, as git does, so that git can go back. It is kept for
// the user only: what cannot be written is no error.
func (r *repo) log(dir *os.Root, ref, old, id, why string) {
	name := "logs/" + ref
	if ref != "HEAD" {
		if dir.MkdirAll(path.Dir(name), 0o777) != nil {
			return
		}
	}
	if i, err := dir.Lstat(name); err == nil && !i.Mode().IsRegular() {
		return
	}
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return
	}
	defer f.Close()
	if old == "" {
		old = string(make([]byte, len(id)))
	}
	now := time.Now()
	fmt.Fprintf(f, "%x %x belljar <belljar> %d %s\t%s\n", old, id, now.Unix(), now.Format("-0700"), why)
}

// A queue holds commits, the youngest first.
type queue []queued

type queued struct {
	id string
	c  *commit
}

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].c.time > q[j].c.time }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(queued)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// Marks of a walk from two commits.
const (
	fromA = 1 << iota
	fromB
	isStale // behind a common one
	isBase
)

// bases finds the best common commits of a and b.
func (r *repo) bases(ctx context.Context, a, b string) ([]string, error) {
	marks := map[string]int{}
	q := &queue{}
	var found []string
	push := func(id string, m int) error {
		if marks[id]&m == m {
			return nil
		}
		marks[id] |= m
		c, err := r.commit(id)
		if err == nil {
			heap.Push(q, queued{id, c})
		}
		return err
	}
	if err := errors.Join(push(a, fromA), push(b, fromB)); err != nil {
		return nil, err
	}
	for r.more(q, marks) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		x := heap.Pop(q).(queued)
		m := marks[x.id] & (fromA | fromB | isStale)
		if m == fromA|fromB {
			if marks[x.id]&isBase == 0 {
				marks[x.id] |= isBase
				found = append(found, x.id)
			}
			m |= isStale
		}
		for _, p := range x.c.parents {
			if err := push(p, m); err != nil {
				return nil, err
			}
		}
	}
	var out []string
	for _, id := range found {
		if marks[id]&isStale == 0 {
			out = append(out, id)
		}
	}
	return out, nil
}

// more says whether anything in the queue can still be a common commit.
func (r *repo) more(q *queue, marks map[string]int) bool {
	for _, x := range *q {
		if marks[x.id]&isStale == 0 {
			return true
		}
	}
	return false
}

// isAncestor says whether old is behind id, or id itself.
func (r *repo) isAncestor(ctx context.Context, old, id string) (bool, error) {
	b, err := r.bases(ctx, old, id)
	return err == nil && len(b) == 1 && b[0] == old, err
}
