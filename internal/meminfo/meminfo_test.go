package meminfo

import (
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	info := []byte("MemTotal:       24684888 kB\nMemAvailable:   21501440 kB\nDirty:               128 kB\nWritebackTmp:          7 kB\nWriteback:             0 kB\nHugePages_Total:       0\nOdd:\nWord:  much kB\n")
	for _, tt := range []struct {
		names []string
		want  []int64
	}{
		{[]string{"MemTotal", "Dirty"}, []int64{24684888 << 10, 128 << 10}},
		{[]string{"Writeback"}, []int64{0}},
		{[]string{"Dirty", "Nothing"}, nil},
		{[]string{"HugePages_Total"}, nil}, // no bytes
		{[]string{"Odd"}, nil},
		{[]string{"Word"}, nil},
	} {
		if got, ok := parse(info, tt.names); !slices.Equal(got, tt.want) || ok != (tt.want != nil) {
			t.Errorf("%q: %v, %v", tt.names, got, ok)
		}
	}
}
