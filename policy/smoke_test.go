package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	f := filepath.Join(dir, "p.yaml")
	os.WriteFile(f, []byte(`# x
version: 1
extends: [claude, nodee]
teir: auto
workspace: {mode: live, pass: [x]}
files:
  raed: [../x]
  read: [~/lib, /, ~, ./x, ""]
  write: [~/.cache/go-build]
  hide: ["[", "**/*.tf"]
network:
  registries: [npmm]
  allow:
    - docs.example.com
    - 127.0.0.1:80
    - {host: "*.com"}
    - {host: a.b.c, ports: [443, 99999], private: yes}
    - {cidr: 10.20.0.5/24, ports: [5432]}
    - 12
    - host: foo.example
      methods: [GET]
credentials: []
limits: {memory: 8G, cpus: two, time: 2d, tokens: 5M}
limits: {memory: 8GiB}
env: {pass: [LANG, A=b], set: {CI: 1}}
`), 0o600)
	_, err := Load(LoadOptions{UserFile: f, Home: "/home/u", Workspace: "/home/u/src/w", Flags: Flags{Allow: []string{"http://x.y/z", "2130706433"}, Tier: "x y"}})
	fmt.Println(err)
	os.WriteFile(f, []byte("version: 1\nenv: {set: {X: '\033[31m'}}"), 0o600)
	_, err = Load(LoadOptions{UserFile: f})
	fmt.Println(err)
	p, err := Load(LoadOptions{Command: "claude", Flags: Flags{Env: []string{"A=b", "C"}}})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(p.Network(), p.Hash(), p.EnvPass(), p.Limits())
}
