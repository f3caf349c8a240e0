package llm

import (
	"encoding/json"
	"net/http"

	"github.com/belljar-dev/belljar"
)

// A Fault is the sort of an answer that refuses.
type Fault int

// The sorts.
const (
	Malformed Fault = iota // the request cannot be judged
	Forbidden              // the policy does not allow it
	Exhausted              // a budget is spent: trying again is of no use
	Busy                   // it may be tried again soon
	TooLarge
	NotOffered // another way of asking has to be used
)

// Answer is a refusal in the API's own form, so that a program shows the reason, and
// does not try again where that is of no use.
func Answer(api belljar.LLMAPI, f Fault, message string) (status int, body string) {
	status = []int{http.StatusBadRequest, http.StatusForbidden, http.StatusPaymentRequired, http.StatusTooManyRequests, http.StatusRequestEntityTooLarge, http.StatusUpgradeRequired}[f]
	var v any
	switch api {
	case belljar.LLMAnthropic:
		kind := []string{"invalid_request_error", "permission_error", "billing_error", "rate_limit_error", "request_too_large", "invalid_request_error"}[f]
		v = map[string]any{"type": "error", "error": map[string]string{"type": kind, "message": message}}
	case belljar.LLMGemini:
		// Its programs know no 402.
		if f == Exhausted {
			status = http.StatusForbidden
		}
		name := []string{"INVALID_ARGUMENT", "PERMISSION_DENIED", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "INVALID_ARGUMENT"}[f]
		v = map[string]any{"error": map[string]any{"code": status, "message": message, "status": name}}
	default:
		if f == Exhausted { // Codex tries again after any other status
			status = http.StatusBadRequest
		}
		kind := []string{"invalid_request_error", "permission_error", "insufficient_quota", "rate_limit_exceeded", "invalid_request_error", "invalid_request_error"}[f]
		v = map[string]any{"error": map[string]any{"message": message, "type": kind, "param": nil, "code": kind}}
	}
	b, _ := json.Marshal(v) // of maps of text: it cannot fail
	return status, string(b) + "\n"
}
