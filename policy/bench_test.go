package policy

import (
	"fmt"
	"strings"
	"testing"
)

// large is a policy with n rules, in the forms that people write.
func large(n int) string {
	var b strings.Builder
	b.WriteString("version: 1\nnetwork:\n  allow:\n")
	for i := range n {
		switch i % 4 {
		case 0, 1:
			fmt.Fprintf(&b, "    - host%d.example.com\n", i)
		case 2:
			fmt.Fprintf(&b, "    - \"*.d%d.example.org:8443\"\n", i)
		case 3:
			fmt.Fprintf(&b, "    - 10.%d.%d.%d:5432\n", i>>16&255, i>>8&255, i&255)
		}
	}
	return b.String()
}

func BenchmarkLoadLarge(b *testing.B) {
	text := large(10_000)
	for b.Loop() {
		d, faults := parse(text, layerUser)
		if len(faults) > 0 || merged(d, nil, nil, nil, false) == nil {
			b.Fatal(faults)
		}
	}
}

func BenchmarkPresets(b *testing.B) {
	for b.Loop() {
		for _, src := range presetSources() {
			var r report
			decode(src, &paths{}, &r)
		}
	}
}

func BenchmarkLoadSmall(b *testing.B) {
	for b.Loop() {
		if _, err := Load(LoadOptions{Command: "claude"}); err != nil {
			b.Fatal(err)
		}
	}
}
