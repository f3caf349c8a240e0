package sandbox

import (
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway"
)

func TestTokensInTheClosingLines(t *testing.T) {
	s := Summary{Name: "a"}
	if l := s.commandLine(); strings.Contains(l, "token") {
		t.Errorf("without a call: %s", l)
	}
	s.Net = gateway.Summary{Models: belljar.LLMSpent{Input: 10, Output: 5, CacheRead: 3, CacheWrite: 1}, Calls: 1}
	if l := s.commandLine(); !strings.Contains(l, ", 19 tokens spent (10 in, 5 out, 4 cached) in 1 call of a model; belljar log a ") {
		t.Error(l)
	}
	s.Net.Calls, s.Net.Models.Estimated = 2, true
	if l := s.commandLine(); !strings.Contains(l, ", at most 19 tokens spent (") || !strings.Contains(l, "in 2 calls of models") {
		t.Error(l)
	}
}
