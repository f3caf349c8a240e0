package event

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/belljar-dev/belljar"
)

// Records come, end and are removed while others list, search and judge them: nothing of that
// is damage, an error or a sign that somebody has changed something.
func TestReadersBesideRemoval(t *testing.T) {
	state := t.TempDir()
	storyRecord(t, state, "stays")
	var writers, readers sync.WaitGroup
	var done atomic.Bool
	for w := range 4 {
		writers.Go(func() {
			for n := range 40 {
				if err := comeAndGo(state, fmt.Sprintf("r%d-%d", w, n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for _, look := range []func(string) error{lookList, lookSearch, lookVerify, lookVerifyAll} {
		readers.Go(func() {
			for !done.Load() {
				if err := look(state); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
}

// comeAndGo makes, ends and removes a record.
func comeAndGo(state, id string) error {
	r, err := Create(CreateOptions{State: state, Start: belljar.StartEvent{ID: id, Name: "test", Argv: []string{"true"}}})
	if err != nil {
		return err
	}
	if err := r.Close(belljar.EndEvent{}); err != nil {
		return err
	}
	return Remove(state, id)
}

func lookList(state string) error {
	all, err := List(state)
	for _, i := range all {
		if i.Fault != "" {
			return fmt.Errorf("list: %s is %s: %s", i.ID, i.Status, i.Fault)
		}
	}
	return err
}

func lookSearch(state string) error {
	all, err := List(state)
	if err != nil {
		return err
	}
	for _, err := range Search(context.Background(), all, Filter{}) {
		if err != nil {
			return fmt.Errorf("search: %w", err)
		}
	}
	return nil
}

func lookVerify(state string) error {
	i, err := Find(state, "test")
	if belljar.KindOf(err) == belljar.KindNoSuch {
		return nil
	}
	if err != nil {
		return err
	}
	r, err := Verify(state, i.ID)
	if err == nil && !r.OK() {
		err = fmt.Errorf("verify: %s is %s: %+v", r.ID, r.Status, r.Faults)
	}
	return err
}

func lookVerifyAll(state string) error {
	all, err := VerifyAll(state)
	for _, r := range all {
		if !r.OK() {
			return fmt.Errorf("verify all: %s is %s: %+v", r.ID, r.Status, r.Faults)
		}
	}
	return err
}
