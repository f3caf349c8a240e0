package evidence

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belljar-dev/belljar/event"
)

func sha(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func p64(k *event.Key) string { return base64.StdEncoding.EncodeToString(k.Public()) }

// sameStatement says whether s is what was signed: JSON can be written in several ways.
func sameStatement(t *testing.T, b []byte, s *Statement) bool {
	t.Helper()
	want, err := Verify(b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return cmp.Equal(want, s)
}
