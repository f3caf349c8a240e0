package rootid

import "testing"

func TestMapped(t *testing.T) {
	for _, c := range []struct {
		name, ranges string
		id           int
		want         bool
	}{
		{"the whole host", "         0          0 4294967295\n", DefaultID, true},
		{"unshare -r", "         0       1000          1\n", DefaultID, false},
		{"unshare -r, root itself", "         0       1000          1\n", 0, true},
		{"a rootless container", "0 1000 1\n1 100000 65536\n", DefaultID, true},
		{"the last of a range", "0 1000 1\n60000 100000 944\n", DefaultID, true},
		{"one beyond a range", "0 1000 1\n60000 100000 943\n", DefaultID, false},
		{"before a range", "60944 100000 10\n", DefaultID, false},
		{"nothing", "", DefaultID, false},
		{"no numbers", "a b c\n", DefaultID, false},
	} {
		if got := mapped(c.ranges, c.id); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}
