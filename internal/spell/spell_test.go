package spell

import "testing"

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b        string
		limit, want int
	}{
		{"", "", 4, 0}, {"run", "run", 4, 0}, {"run", "runn", 4, 1}, {"runn", "run", 4, 1}, {"rnu", "run", 4, 1},
		{"network", "netwrok", 4, 1}, {"abc", "xyz", 4, 3}, {"", "abc", 4, 3}, {"", "abcd", 4, 4}, {"a", "abcdefgh", 3, 3},
	} {
		if got := Distance(c.a, c.b, c.limit); got != c.want {
			t.Errorf("Distance(%q, %q, %d) = %d, want %d", c.a, c.b, c.limit, got, c.want)
		}
	}
}
