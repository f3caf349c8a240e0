package cli

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/judge/claims"
)

// recordOf is a record of n shells that are given line, one after the other.
func recordOf(line string, n int) []event.Entry {
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	list := []event.Entry{{Event: belljar.Event{Time: at, Kind: belljar.EventPlan, Plan: &belljar.Plan{
		Mounts: []belljar.Mount{{Kind: belljar.MountBind, Target: "/usr", ReadOnly: true}},
	}}}}
	for i := range n {
		list = append(list, event.Entry{Event: belljar.Event{Time: at, Kind: belljar.EventExec, Exec: &belljar.ExecEvent{
			PID: 10 + i, Parent: 5, Path: "/usr/bin/bash", Argv: []string{"bash", "-c", line},
		}}})
	}
	return list
}

// TestApart: transcripts are told apart, and however many there are, not for ever.
func TestApart(t *testing.T) {
	p := apart{left: maxApart, byFile: map[string][]*claims.Claim{}}
	said := func(file, line string) {
		p.byFile[file] = []*claims.Claim{{Line: line, File: file, Time: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)}}
	}
	said("here", "cd x")
	said("there", "cd y")
	for file, want := range map[string]bool{"here": false, "there": true} {
		if is, err := p.differs(file, recordOf("cd x", 1)); err != nil || is != want {
			t.Errorf("%s: %v %v", file, is, err)
		}
	}
	p.left = maxApart / 10
	record, n := recordOf("cd x", 10_000), 0
	var err error
	for ; err == nil && n < 10_000; n++ {
		file := fmt.Sprint(n)
		said(file, "cd z")
		_, err = p.differs(file, record)
	}
	if !errors.Is(err, claims.ErrBounds) || n > maxApart/10/10_000 {
		t.Errorf("%v after %d transcripts", err, n)
	}
	// Lines of many commands cost more than their record is long.
	line := "set y;" + strings.Repeat("x a;", 1000)
	record = recordOf(line, 1)
	for i := range 2000 {
		e := record[1]
		e.Exec = &belljar.ExecEvent{PID: 100 + i, Parent: 10, Path: "/usr/bin/x", Argv: []string{"x", "b"}}
		record = append(record, e)
	}
	p.left = 100_000
	said("long", line)
	if _, err := p.differs("long", record); !errors.Is(err, claims.ErrBounds) {
		t.Errorf("%v, %d left", err, p.left)
	}
}
