package fstest

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	Child()
	os.Exit(m.Run())
}

// The suite holds on a plain directory, so a failure elsewhere is the other file
// system's.
func TestPlainDirectory(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	Run(t, t.TempDir(), Options{Exe: exe})
}

func TestDifferentialOnPlainDirectories(t *testing.T) {
	for seed := range uint64(3) {
		Differential(t, t.TempDir(), t.TempDir(), seed, 1500)
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range All(Options{Exe: "x"}) {
		if seen[k.Name] {
			t.Errorf("two cases are named %s", k.Name)
		}
		seen[k.Name] = true
	}
	t.Logf("%d cases", len(seen))
}
