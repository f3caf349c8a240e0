package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/belljar-dev/belljar/internal/ablate"
)

// withEvents compares work in a sandbox whose events are recorded with the same in one of which
// nothing is: in a test build, which has a switch for that.
func withEvents(work func(*bench) (float64, float64, string, string, error)) func(*bench) (float64, float64, string, string, error) {
	return func(b *bench) (float64, float64, string, string, error) {
		other := os.Getenv("BELLJAR_BENCH_ABLATION")
		if other == "" {
			return 0, 0, "", "", errors.New("BELLJAR_BENCH_ABLATION does not name the test build (make bench builds it)")
		}
		other, err := filepath.Abs(other)
		if err != nil {
			return 0, 0, "", "", err
		}
		var on, off []float64
		for range 3 { // turn about: the machine does not stay the same
			for side, layer := range []string{"nothing", ablate.Record} {
				c := *b
				c.belljar = other
				c.env = []string{"BELLJAR_ABLATE=" + layer}
				ms, _, _, _, err := work(&c)
				if err != nil {
					return 0, 0, "", "", err
				}
				if side == 0 {
					on = append(on, ms)
				} else {
					off = append(off, ms)
				}
			}
		}
		return median(on), median(off), "ms", "the same without a record", nil
	}
}
