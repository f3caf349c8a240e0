package table

import "testing"

func TestTablesLoad(t *testing.T) {
	if n := len(Names()); n < 100 {
		t.Fatalf("only %d tables", n)
	}
	for _, n := range Names() {
		if Find(n).Doc == "" {
			t.Errorf("%s is not described", n)
		}
	}
}
