package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/secrets"
)

var docsDir = filepath.Join("..", "docs")

func TestSchemaIsCurrent(t *testing.T) {
	got, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join(docsDir, "policy.schema.json"), got)
}

// The schema has exactly the keys of the table, and of rules and ports.
func TestSchemaHasTheKeysOfTheTable(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"version": true}
	for _, k := range keys() {
		want[k.Name] = true
	}
	got := map[string]bool{}
	leaves(schema, "", got)
	for k := range want {
		if !got[k] {
			t.Errorf("the schema lacks %s", k)
		}
	}
	for k := range got {
		if !want[k] {
			t.Errorf("the table lacks %s", k)
		}
	}
}

func leaves(schema map[string]any, path string, into map[string]bool) {
	properties, ok := schema["properties"].(map[string]any)
	if !ok {
		into[path] = true
		return
	}
	for name, p := range properties {
		leaves(p.(map[string]any), join(path, name), into)
	}
}

// The decoder knows exactly the keys of the table: each is accepted with a value,
// and none is missing from it.
func TestDecoderKnowsTheKeysOfTheTable(t *testing.T) {
	for _, k := range keys() {
		section, name, nested := strings.Cut(k.Name, ".")
		text := "version: 1\n" + section + ": {}\n"
		if nested {
			text = fmt.Sprintf("version: 1\n%s:\n  %s: {}\n", section, name)
		}
		_, faults := parse(text, layerUser)
		if strings.Contains(faults.Error(), "unknown key") {
			t.Errorf("%s: %v", k.Name, faults)
		}
		if k.Type == "" || k.Default == "" || k.Example == "" || k.Doc == "" || k.Tighter == "" || k.Ceiling == "" || k.rule == nil {
			t.Errorf("%s is not described", k.Name)
		}
	}
	for k := range laterKeys() {
		parts := strings.Split(k, ".")
		text := "version: 1\n"
		for i, p := range parts {
			if i == 2 {
				text += strings.Repeat("  ", i) + "- " + p + ": x\n"
				break
			}
			text += strings.Repeat("  ", i) + p + ":"
			if i == len(parts)-1 {
				text += " x"
			}
			text += "\n"
		}
		_, faults := parse(text, layerUser)
		if !strings.Contains(faults.Error(), k+": not yet available") {
			t.Errorf("%s: %v\n%s", k, faults, text)
		}
	}
}

// section is what stands between two markers of docs/policy.md.
func section(t *testing.T, text []byte, name string) (before, inside, after []byte) {
	t.Helper()
	begin, end := []byte("<!-- "+name+": generated, go test ./policy -update -->\n"), []byte("<!-- end -->\n")
	i := bytes.Index(text, begin)
	if i < 0 {
		t.Fatalf("docs/policy.md has no section %s", name)
	}
	i += len(begin)
	n := bytes.Index(text[i:], end)
	if n < 0 {
		t.Fatalf("section %s has no end", name)
	}
	return text[:i], text[i : i+n], text[i+n:]
}

// docs/policy.md holds the tables that the code works with.
func TestDocsAreCurrent(t *testing.T) {
	file := filepath.Join(docsDir, "policy.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := text
	for name, render := range map[string]func() string{
		"keys": keysTable, "tighter": tighterTable, "presets": presetsTable, "secrets": secretsTable, "templates": func() string { return ticked(secrets.Templates()) }, "reserved": reservedTable, "later": laterList, "variables": func() string { return ticked(defaultPass()) },
		"tools": func() string { return ticked(ToolVariables()) }, "certs": func() string { return ticked(CertVariables()) },
		"never": func() string { return ticked(neverPassed()) },
	} {
		before, _, after := section(t, want, name)
		want = slices.Concat(before, []byte(render()), after)
	}
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	golden(t, file, want)
}

// The example of a key says something about that key, in the user's layer.
func TestExamplesOfKeys(t *testing.T) {
	for _, k := range keys() {
		d, faults := parse("version: 1\n"+k.Example+"\n", layerUser)
		if len(faults) > 0 {
			t.Errorf("%s: %v", k.Name, faults)
			continue
		}
		before, after := newState(), newState()
		if k.Name == "credentials" { // which go nowhere without a rule
			allow := item[belljar.NetRule]{belljar.NetRule{Host: "api.acme.dev", Ports: []uint16{443}}, mark{src: d.src}}
			before.rules, after.rules = append(before.rules, allow), append(after.rules, allow)
		}
		k.rule.merge(after, d)
		other := build(before, &paths{}, nil).Hash() == build(after, &paths{}, nil).Hash()
		if other && k.Name != "extends" && k.Name != "tier" {
			t.Errorf("%s: %s says nothing about it", k.Name, k.Example)
		}
	}
}

// Every YAML block of the page is a policy without a fault.
func TestExamplesOfThePage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(docsDir, "policy.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```yaml\n")[1:]
	if len(blocks) < 5 {
		t.Errorf("only %d examples", len(blocks))
	}
	for _, b := range blocks {
		b, _, ok := strings.Cut(b, "```\n")
		if !ok {
			t.Fatalf("a block without an end: %s", b)
		}
		var r report
		p := &paths{home: "/home/me", workspace: "/home/me/project"}
		if decode(newSource(layerUser, "policy.md", "/home/me/project", []byte(b)), p, &r); len(r.faults) > 0 {
			t.Errorf("%v\n%s", r.all(), b)
		}
	}
}

func keysTable() string {
	var b strings.Builder
	b.WriteString("| key | value | default | meaning | example |\n|---|---|---|---|---|\n| `version` | 1 | | Required. | `version: 1` |\n")
	for _, k := range keys() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | `%s` |\n", k.Name, k.Type, k.Default, k.Doc, k.Example)
	}
	return b.String()
}

func tighterTable() string {
	var b strings.Builder
	b.WriteString("| key | what a project may say without being trusted | what it means in the organisation's ceiling |\n|---|---|---|\n")
	for _, k := range keys() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.Name, k.Tighter, k.Ceiling)
	}
	return b.String()
}

func presetsTable() string {
	var b strings.Builder
	b.WriteString("| preset | applies to | what it is |\n|---|---|---|\n")
	for _, p := range Presets() {
		applies := "`--preset " + p.Name + "`, `extends`"
		if len(p.Commands) > 0 {
			applies = "`belljar run " + strings.Join(p.Commands, "`, `belljar run ") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", p.Name, applies, p.About)
	}
	return b.String()
}

func secretsTable() string {
	var b strings.Builder
	b.WriteString("| names | why |\n|---|---|\n")
	for _, g := range secrets.Groups() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", strings.Join(g.Patterns, "` `"), g.Reason)
	}
	return b.String()
}

func ticked(l []string) string { return "`" + strings.Join(l, "` `") + "`\n" }

func reservedTable() string {
	var b strings.Builder
	b.WriteString("| range | what it is |\n|---|---|\n")
	for _, r := range reservedRanges() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", r.prefix, r.what)
	}
	return b.String()
}

func laterList() string {
	var l []string
	for k := range laterKeys() {
		l = append(l, k)
	}
	slices.Sort(l)
	return ticked(l)
}
