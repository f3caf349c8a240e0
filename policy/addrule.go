package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// RuleText is a rule as an entry of network.allow.
func RuleText(r belljar.NetRule) string { return ruleText(r) }

// errShape says that a file is written in a way in which nothing is added to it.
var errShape = errors.New("its network.allow is written in a way that belljar does not edit")

// AddRule adds rule to network.allow of the policy in file, with a comment where the
// file's form has room for one. Every other byte stays as it is; a file that does not
// exist is made. The file is replaced as a whole or not at all, also where it is a link.
// It says whether anything was to be added.
func AddRule(file string, rule belljar.NetRule, comment string) (bool, error) {
	fail := func(err error) (bool, error) {
		return false, &belljar.Error{
			Op: "add a rule to", ID: file, Kind: belljar.KindNotHere, Err: err,
			Hint: "add it to network.allow by hand: " + ruleText(rule),
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fail(err)
	}
	real, err := filepath.EvalSymlinks(file)
	if errors.Is(err, fs.ErrNotExist) {
		real, err = file, nil
	}
	if err != nil {
		return fail(err)
	}
	unlock, err := lockFolder(filepath.Dir(real)) // two of us must not edit it at a time
	if err != nil {
		return fail(err)
	}
	defer unlock()
	old, err := os.ReadFile(real)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	now, err := withRule(old, rule, comment)
	if err != nil {
		return fail(err)
	}
	if bytes.Equal(old, now) {
		return false, nil
	}
	if err := replaceFile(real, now); err != nil {
		return fail(err)
	}
	return true, nil
}

// replaceFile puts content in the place of name, with its mode.
func replaceFile(name string, content []byte) error {
	mode := fs.FileMode(0o600)
	if fi, err := os.Stat(name); err == nil {
		mode = fi.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".policy-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// withRule is the text of a policy with one more rule.
func withRule(old []byte, rule belljar.NetRule, comment string) ([]byte, error) {
	text := ruleText(rule)
	line := text
	if comment != "" {
		line += "  # " + printable(strings.Join(strings.Fields(comment), " "))
	}
	nl := "\n"
	if bytes.Contains(old, []byte("\r\n")) {
		nl = "\r\n"
	}
	if len(bytes.TrimSpace(old)) == 0 {
		return append(bytes.Clone(old), "version: 1"+nl+"network:"+nl+"  allow:"+nl+"    - "+line+nl...), nil
	}
	var before map[string]any
	if err := yaml.Unmarshal(old, &before); err != nil || before["version"] == nil {
		return nil, errors.New("it has faults: belljar policy check")
	}
	var entry any
	if err := yaml.Unmarshal([]byte(text), &entry); err != nil {
		return nil, fmt.Errorf("write a rule: %w", err)
	}
	for _, e := range allowed(before) {
		if reflect.DeepEqual(e, entry) {
			return old, nil
		}
	}
	at, insert, err := placeFor(old, text, line, nl)
	if err != nil {
		return nil, err
	}
	now := append(append(bytes.Clone(old[:at]), insert...), old[at:]...)
	return now, onlyAdded(before, now, entry)
}

func allowed(doc map[string]any) []any {
	n, _ := doc["network"].(map[string]any)
	l, _ := n["allow"].([]any)
	return l
}

// onlyAdded says why now is not before with the entry in front of network.allow.
func onlyAdded(before map[string]any, now []byte, entry any) error {
	var after map[string]any
	if err := yaml.Unmarshal(now, &after); err != nil {
		return errShape
	}
	l := allowed(after)
	if len(l) == 0 || !reflect.DeepEqual(l[0], entry) {
		return errShape
	}
	n := after["network"].(map[string]any)
	n["allow"] = l[1:]
	old, _ := before["network"].(map[string]any)
	if _, had := old["allow"]; !had {
		delete(n, "allow")
	}
	if _, had := before["network"]; !had {
		delete(after, "network")
	}
	if !reflect.DeepEqual(before, after) {
		return errShape
	}
	return nil
}

// placeFor says where in the text the rule goes, and what is to be written there.
func placeFor(old []byte, text, line, nl string) (at int, insert string, err error) {
	file, err := parser.ParseBytes(old, 0)
	if err != nil || len(file.Docs) != 1 {
		return 0, "", errShape
	}
	root, ok := file.Docs[0].Body.(*ast.MappingNode)
	if !ok && file.Docs[0].Body != nil {
		return 0, "", errShape
	}
	network := valueOf(root, "network")
	if network == nil {
		if root.IsFlowStyle {
			return 0, "", errShape
		}
		before := ""
		if !bytes.HasSuffix(old, []byte("\n")) {
			before = nl
		}
		return len(old), before + "network:" + nl + "  allow:" + nl + "    - " + line + nl, nil
	}
	mapping, ok := network.(*ast.MappingNode)
	if !ok {
		return 0, "", errShape
	}
	switch allow := valueOf(mapping, "allow").(type) {
	case nil:
		if mapping.IsFlowStyle {
			return behind(old, mapping.Start.Position.Line, mapping.Start.Position.Column, "{", "allow: ["+text+"]", len(mapping.Values) > 0)
		}
		pos := mapping.Values[0].Key.GetToken().Position
		begin := lineStart(old, pos.Line)
		indent := strings.Repeat(" ", pos.Column-1)
		return begin, indent + "allow:" + nl + indent + "  - " + line + nl, nil
	case *ast.SequenceNode:
		if len(allow.Values) == 0 {
			return 0, "", errShape // [] takes away what is below: it would no longer
		}
		pos := allow.Start.Position
		if allow.IsFlowStyle {
			return behind(old, pos.Line, pos.Column, "[", text, true)
		}
		return lineStart(old, pos.Line), strings.Repeat(" ", pos.Column-1) + "- " + line + nl, nil
	}
	return 0, "", errShape
}

// behind is the place behind a bracket at line and column.
func behind(text []byte, line, column int, bracket, insert string, more bool) (int, string, error) {
	rest := text[lineStart(text, line):]
	skip := 0
	for i := range string(rest) { // columns count characters
		if column--; column == 0 {
			skip = i
			break
		}
	}
	if !bytes.HasPrefix(rest[skip:], []byte(bracket)) {
		return 0, "", errShape
	}
	if more {
		insert += ", "
	}
	return lineStart(text, line) + skip + len(bracket), insert, nil
}

// lineStart is where a line begins; the first is 1.
func lineStart(text []byte, line int) int {
	at := 0
	for ; line > 1; line-- {
		i := bytes.IndexByte(text[at:], '\n')
		if i < 0 {
			return len(text)
		}
		at += i + 1
	}
	return at
}

func valueOf(m *ast.MappingNode, key string) ast.Node {
	if m == nil {
		return nil
	}
	for _, v := range m.Values {
		if t := v.Key.GetToken(); t != nil && t.Value == key {
			return v.Value
		}
	}
	return nil
}
