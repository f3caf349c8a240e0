package procstat

import (
	"testing"
	"time"
)

const line = "12 (a) R 1 (b)) S 9 12 12 0 -1 4194304 100 0 0 0 3 4 5 6 20 0 7 0 100 200 300"

func TestParse(t *testing.T) {
	want := Stat{State: 'S', Parent: 9, CPU: 180 * time.Millisecond, Threads: 7}
	if got, ok := Parse([]byte(line)); !ok || got != want {
		t.Errorf("%+v, %t", got, ok)
	}
	for _, bad := range []string{"", "1 (x", "1 (x) S 1", ")"} {
		if got, ok := Parse([]byte(bad)); ok {
			t.Errorf("%q is %+v", bad, got)
		}
	}
}

// FuzzParse: a process chooses its name.
func FuzzParse(f *testing.F) {
	f.Add([]byte(line))
	f.Add([]byte("1 (x"))
	f.Add([]byte(") "))
	f.Fuzz(func(t *testing.T, line []byte) {
		if s, _ := Parse(line); s.CPU < 0 || s.Threads < 0 || s.Parent < 0 {
			t.Errorf("%+v", s)
		}
	})
}
