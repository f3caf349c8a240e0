//go:build linux

package native_test

import (
	"os"
	"testing"

	"github.com/belljar-dev/belljar/backend/backendtest"
	"github.com/belljar-dev/belljar/backend/native"
)

func TestMain(m *testing.M) {
	if native.Reexec(os.Args) {
		return
	}
	os.Exit(m.Run())
}

func TestConformance(t *testing.T) {
	backendtest.Run(t, native.New(native.Options{Debug: os.Getenv("BELLJAR_NATIVE_LOG") != ""}))
}
