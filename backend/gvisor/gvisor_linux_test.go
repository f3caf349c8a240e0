package gvisor_test

import (
	"os"
	"testing"

	"github.com/belljar-dev/belljar/backend/all"
	"github.com/belljar-dev/belljar/backend/backendtest"
	"github.com/belljar-dev/belljar/backend/gvisor"
)

func TestMain(m *testing.M) {
	if all.Reexec(os.Args) {
		return
	}
	os.Exit(m.Run())
}

func TestConformance(t *testing.T) {
	backendtest.Run(t, gvisor.New(gvisor.Options{DebugDir: os.Getenv("BELLJAR_GVISOR_LOG")}))
}
