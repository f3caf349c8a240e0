package policy

import (
	"strings"
	"testing"
)

func TestOTLP(t *testing.T) {
	for text, want := range map[string]string{
		`otlp: {endpoint: "https://otel.acme.dev:4318/"}`:          "https://otel.acme.dev:4318",
		`otlp: {endpoint: "http://localhost:4318"}`:                "http://localhost:4318",
		`otlp: {endpoint: "http://127.0.0.1:4318", headers: /h}`:   "http://127.0.0.1:4318",
		`otlp: {endpoint: "http://otel.acme.dev:4318"}`:            "!over https",
		`otlp: {endpoint: "https://me:secret@otel.acme.dev"}`:      "!stands in the file",
		`otlp: {endpoint: "grpc://otel.acme.dev"}`:                 "!no URL",
		`otlp: {endpoint: "https://"}`:                             "!no URL",
		`otlp: {headers: /h}`:                                      "!needs endpoint",
		`otlp: {endpoint: "https://otel.acme.dev", headers: here}`: "!absolute path",
		`otlp: {endpoint: "https://otel.acme.dev", token: x}`:      "!unknown key",
	} {
		d, faults := parse("version: 1\n"+text+"\n", layerUser)
		if bad, ok := strings.CutPrefix(want, "!"); ok {
			if !strings.Contains(faults.Error(), bad) {
				t.Errorf("%s: %v", text, faults)
			}
			continue
		}
		if len(faults) > 0 || d.otlp.value.Endpoint != want {
			t.Errorf("%s: %v %+v", text, faults, d.otlp)
		}
	}
	// Whoever trusts a project's file does not send records to where it says.
	if _, faults := parse("version: 1\notlp: {endpoint: \"https://evil.test\"}\n", layerProject); !strings.Contains(faults.Error(), "a project's file cannot say") {
		t.Error(faults)
	}
}

// TestOTLPCeiling: the organisation's receiver is the one that is sent to.
func TestOTLPCeiling(t *testing.T) {
	user, _ := parse("version: 1\notlp: {endpoint: \"https://mine.test\"}\n", layerUser)
	ceiling, _ := parse("version: 1\notlp: {endpoint: \"https://org.test\"}\n", layerCeiling)
	p := merged(user, nil, nil, ceiling, false)
	if p == nil || p.OTLP().Endpoint != "https://org.test" {
		t.Fatalf("%+v", p)
	}
	if p = merged(user, nil, nil, nil, false); p.OTLP().Endpoint != "https://mine.test" {
		t.Errorf("%+v", p.OTLP())
	}
	if y, err := p.YAML(); err != nil || !strings.Contains(string(y), "otlp: {endpoint: \"https://mine.test\"}") {
		t.Errorf("%v %s", err, y)
	}
	none := build(newState(), &paths{}, nil)
	if none.OTLP() != nil || len(Diff(none, p)) != 1 || len(Diff(p, none)) != 1 {
		t.Errorf("%+v %+v", Diff(none, p), Diff(p, none))
	}
}
