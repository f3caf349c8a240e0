package native

import (
	"slices"
	"testing"

	"github.com/belljar-dev/belljar"
)

func TestParseVersion(t *testing.T) {
	for release, want := range map[string][2]int{"6.18.44-fc": {6, 18}, "5.14-rc1": {5, 14}, "5.4.0-1": {5, 4}, "6": {6, 0}, "": {0, 0}} {
		if a, b := parseVersion(release); a != want[0] || b != want[1] {
			t.Errorf("version %q: %d.%d", release, a, b)
		}
	}
}

func TestSocketsBelow(t *testing.T) {
	const list = "Num RefCount Protocol Flags Type St Inode Path\n" +
		"0: 2 0 10000 1 1 100 /home/u/tool/run/s\n1: 2 0 10000 1 1 101 /home/u/toolbox/s\n2: 2 0 10000 1 1 102 @abstract /home/u/tool/x\n3: 3 0 0 1 3 103\n"
	mounts := []belljar.Mount{{Kind: belljar.MountBind, Source: "/home/u/tool", Target: "/opt/tool"}, {Kind: belljar.MountDir, Target: "/home"}}
	// An abstract name may look like a path; covering what is not there does nothing.
	if got := socketsBelow(list, mounts); !slices.Contains(got, "/opt/tool/run/s") || slices.Contains(got, "/opt/toolbox/s") {
		t.Errorf("%q", got)
	}
}

// FuzzSockets: names of sockets are chosen by whoever makes them.
func FuzzSockets(f *testing.F) {
	f.Add("1: 2 0 10000 1 1 101 /home/u/toolbox/s\n")
	f.Fuzz(func(t *testing.T, list string) { socketsBelow(list, nil) })
}
