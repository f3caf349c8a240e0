package sign

import (
	"encoding/base64"
	"testing"
)

func FuzzKey(f *testing.F) {
	k, err := New()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(Head + base64.StdEncoding.EncodeToString(k.Seed()) + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := Parse(b)
		if err != nil {
			return
		}
		if again := Head + base64.StdEncoding.EncodeToString(k.Seed()) + "\n"; again != string(b) {
			t.Errorf("%q is taken for %q", b, again)
		}
	})
}
