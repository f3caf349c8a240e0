package gvisor_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/gvisor"
)

// BenchmarkTrue is a whole sandbox for the shortest command there is.
func BenchmarkTrue(b *testing.B) {
	p := deathPlan()
	p.Command = belljar.Exec{Path: "/usr/bin/true", Argv: []string{"true"}, Dir: "/"}
	p.Limits.CPUs = 2
	dir := b.TempDir()
	for i := 0; b.Loop(); i++ {
		d := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(d, 0o700); err != nil {
			b.Fatal(err)
		}
		in, err := gvisor.New(gvisor.Options{DebugDir: os.Getenv("BELLJAR_GVISOR_LOG")}).Start(b.Context(), &belljar.Spec{Plan: p, Dir: d, Events: noEvents{}})
		if err != nil {
			b.Fatal(err)
		}
		pr, err := in.Start(b.Context(), &belljar.Command{Exec: p.Command})
		if err != nil {
			b.Fatal(err)
		}
		if st, err := pr.Wait(b.Context()); err != nil || st.Status() != 0 {
			b.Fatal(st, err)
		}
		in.Close()
	}
}

// BenchmarkExec is one more command in a running sandbox.
func BenchmarkExec(b *testing.B) {
	p := deathPlan()
	in, err := gvisor.New(gvisor.Options{DebugDir: os.Getenv("BELLJAR_GVISOR_LOG")}).Start(b.Context(), &belljar.Spec{Plan: p, Dir: b.TempDir(), Events: noEvents{}})
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	if _, err := in.Start(b.Context(), &belljar.Command{Exec: p.Command}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		pr, err := in.Start(b.Context(), &belljar.Command{Exec: belljar.Exec{Path: "/usr/bin/true", Argv: []string{"true"}, Dir: "/"}})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := pr.Wait(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
