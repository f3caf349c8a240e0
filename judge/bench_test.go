package judge

import (
	"path/filepath"
	"testing"
)

// BenchmarkLines judges the lines of the corpus; lines/s is the figure that counts.
func BenchmarkLines(b *testing.B) {
	j := corpusJudge(b)
	cases := readCases(b, filepath.Join("..", "testdata", "corpus", "commands.jsonl"))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for _, c := range cases {
			j.Line(c.Cmd)
			n++
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lines/s")
}
