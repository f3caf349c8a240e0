package secrets

import (
	"slices"
	"testing"

	"github.com/belljar-dev/belljar/internal/glob"
)

// Every pattern compiles and stands in the table once.
func TestTable(t *testing.T) {
	all := append(Patterns(), Templates()...)
	for i, p := range all {
		if _, err := glob.Compile(p); err != nil {
			t.Errorf("%q: %v", p, err)
		}
		if slices.Contains(all[:i], p) {
			t.Errorf("%q is there twice", p)
		}
	}
	for _, g := range Groups() {
		if g.Reason == "" || len(g.Patterns) == 0 {
			t.Errorf("%+v says nothing", g)
		}
	}
}

// What the documentation promises by name is hidden; templates are named as such.
func TestNames(t *testing.T) {
	match := func(patterns []string, name string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool {
			g, err := glob.Compile(p)
			return err == nil && g.Match(name)
		})
	}
	for _, n := range []string{
		".env", "a/.ENV.local", "x.pem", "deep/in/x.key", ".npmrc", ".pypirc", "a-service-account.json", ".git-credentials", ".netrc",
		".kube", ".docker/config.json", ".aws", ".config/gcloud", ".config/gh", "h/.m2/settings.xml", ".dockerconfigjson", "id_ed25519_sk",
	} {
		if !match(Patterns(), n) {
			t.Errorf("%s is not hidden", n)
		}
	}
	for _, n := range []string{"main.go", "environment.ts", "README.md", "package.json", "key.go"} {
		if match(Patterns(), n) {
			t.Errorf("%s is hidden", n)
		}
	}
	if !match(Templates(), "a/.env.example") || match(Templates(), ".env") {
		t.Error("templates are not told apart")
	}
}
