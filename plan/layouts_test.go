package plan

import (
	"slices"
	"testing"
)

const script = "#!/bin/sh\n"

type pathLayout struct {
	name    string
	build   func(w *world)
	path    []string
	command string
	roots   []string // below HOME
	real    string   // of the command, below HOME
}

// nodeLayouts are those of Node and of agents.
func nodeLayouts() []pathLayout {
	return []pathLayout{
		{
			name: "npm -g with a prefix below HOME",
			build: func(w *world) {
				w.file(".npm-global/lib/node_modules/@acme/agent/cli.js", "#!/usr/bin/env sh\n")
				w.file(".npm-global/lib/node_modules/@acme/agent/package.json", "{}")
				w.file(".npm-global/etc/npmrc", "//r.example/:_authToken=x")
				w.link("../lib/node_modules/@acme/agent/cli.js", ".npm-global/bin/agent")
			},
			path: []string{"~/.npm-global/bin"}, command: "agent",
			roots: []string{".npm-global/bin", ".npm-global/lib"},
			real:  ".npm-global/lib/node_modules/@acme/agent/cli.js",
		},
		{
			name: "nvm",
			build: func(w *world) {
				w.file(".nvm/versions/node/v22.1.0/bin/node", script)
				w.file(".nvm/versions/node/v22.1.0/lib/node_modules/agent/cli.js", "#!/usr/bin/env node\n")
				w.link("../lib/node_modules/agent/cli.js", ".nvm/versions/node/v22.1.0/bin/agent")
				w.file(".nvm/alias/default", "22")
			},
			path: []string{"~/.nvm/versions/node/v22.1.0/bin"}, command: "agent",
			roots: []string{".nvm/versions/node/v22.1.0"},
			real:  ".nvm/versions/node/v22.1.0/lib/node_modules/agent/cli.js",
		},
		{
			name: "native installer: a link to a version that is one file",
			build: func(w *world) {
				w.file(".local/share/claude/versions/2.1.3", script)
				w.file(".local/share/claude/versions/2.1.2", script)
				w.file(".local/share/keep/state.db", "x")
				w.link(w.at(".local/share/claude/versions/2.1.3"), ".local/bin/claude")
			},
			path: []string{"~/.local/bin"}, command: "claude",
			roots: []string{".local/bin", ".local/share/claude/versions/2.1.3"},
			real:  ".local/share/claude/versions/2.1.3",
		},
		{
			name: "a version that is a folder",
			build: func(w *world) {
				w.file(".local/share/cursor/versions/7/agent", script)
				w.file(".local/share/cursor/versions/7/node", script)
				w.link("../share/cursor/versions/7/agent", ".local/bin/agent")
			},
			path: []string{"~/.local/bin"}, command: "agent",
			roots: []string{".local/bin", ".local/share/cursor/versions/7"},
			real:  ".local/share/cursor/versions/7/agent",
		},
		{
			name: "volta",
			build: func(w *world) {
				w.file(".volta/bin/volta-shim", script)
				w.link("volta-shim", ".volta/bin/node")
				w.mkdir(".volta/tools/image")
			},
			path: []string{"~/.volta/bin"}, command: "node",
			roots: []string{".volta"}, real: ".volta/bin/volta-shim",
		},
		{
			name: "asdf shims",
			build: func(w *world) {
				w.file(".asdf/shims/node", "#!/usr/bin/env bash\n")
				w.mkdir(".asdf/installs/nodejs")
				w.mkdir(".asdf/plugins/nodejs")
				w.file(".tool-versions", "nodejs 22")
			},
			path: []string{"~/.asdf/shims"}, command: "node",
			roots: []string{".asdf", ".tool-versions"}, real: ".asdf/shims/node",
		},
		{
			name: "pnpm's store",
			build: func(w *world) {
				w.file(".local/share/pnpm/global/5/node_modules/.pnpm/a@1/node_modules/a/cli.js", "#!/usr/bin/env sh\n")
				w.link("../global/5/node_modules/.pnpm/a@1/node_modules/a/cli.js", ".local/share/pnpm/bin/a")
			},
			path: []string{"~/.local/share/pnpm/bin"}, command: "a",
			roots: []string{".local/share/pnpm/bin", ".local/share/pnpm/global/5/node_modules"},
			real:  ".local/share/pnpm/global/5/node_modules/.pnpm/a@1/node_modules/a/cli.js",
		},
	}
}

// otherLayouts are those of other languages.
func otherLayouts() []pathLayout {
	return []pathLayout{
		{
			name: "pyenv shims",
			build: func(w *world) {
				w.file(".pyenv/libexec/pyenv", script)
				w.file(".pyenv/shims/tool", "#!/usr/bin/env bash\n")
				w.file(".pyenv/versions/3.12.1/bin/python3", script)
			},
			path: []string{"~/.pyenv/shims"}, command: "tool",
			roots: []string{".pyenv"}, real: ".pyenv/shims/tool",
		},
		{
			name: "cargo through rustup",
			build: func(w *world) {
				w.file(".cargo/bin/rustup", script)
				w.link("rustup", ".cargo/bin/cargo")
				w.file(".cargo/credentials.toml", "token = 1")
				w.file(".cargo/registry/x", "x")
				w.mkdir(".rustup/toolchains")
			},
			path: []string{"~/.cargo/bin"}, command: "cargo",
			roots: []string{".cargo/bin", ".rustup"}, real: ".cargo/bin/rustup",
		},
		{
			name: "pipx: a virtual environment with an interpreter of uv",
			build: func(w *world) {
				w.file(".local/share/pipx/venvs/aider/pyvenv.cfg", "home = x")
				w.file(".local/share/pipx/venvs/aider/bin/aider", "#!"+w.at(".local/share/pipx/venvs/aider/bin/python")+"\n")
				w.file(".local/share/uv/python/cpython-3.12/bin/python3.12", script)
				w.mkdir(".local/share/uv/python/cpython-3.12/lib")
				w.link(w.at(".local/share/uv/python/cpython-3.12/bin/python3.12"), ".local/share/pipx/venvs/aider/bin/python")
				w.link("../share/pipx/venvs/aider/bin/aider", ".local/bin/aider")
			},
			path: []string{"~/.local/bin"}, command: "aider",
			roots: []string{
				".local/bin", ".local/share/pipx/venvs/aider",
				".local/share/uv/python/cpython-3.12/bin", ".local/share/uv/python/cpython-3.12/lib",
			},
			real: ".local/share/pipx/venvs/aider/bin/aider",
		},
		{
			name: "a script without execute bit in a second place",
			build: func(w *world) {
				w.file("go/bin/tool", "not a script")
				w.file("bin/tool", script)
				w.file("go/bin/other", script)
				w.file("go/pkg/mod/x", "x")
			},
			path: []string{"~/go/bin", "~/bin"}, command: "tool",
			roots: []string{"bin", "go/bin"}, real: "bin/tool",
		},
		{
			name: "HOME/.local/lib goes with HOME/.local/bin",
			build: func(w *world) {
				w.file(".local/bin/py", "#!/usr/bin/python3\n")
				w.file(".local/lib/python3.11/site-packages/x.py", "")
				w.file(".local/share/opencode/auth.json", "secret")
			},
			path: []string{"~/.local/bin"}, command: "py",
			roots: []string{".local/bin", ".local/lib"}, real: ".local/bin/py",
		},
		{
			name: "a JDK",
			build: func(w *world) {
				w.file(".sdkman/candidates/java/21/bin/java", script)
				w.file(".sdkman/candidates/java/21/release", "x")
				w.file(".sdkman/candidates/java/21/lib/modules", "x")
				w.link("21", ".sdkman/candidates/java/current")
			},
			path: []string{"~/.sdkman/candidates/java/current/bin"}, command: "java",
			roots: []string{".sdkman/candidates/java/21"}, real: ".sdkman/candidates/java/21/bin/java",
		},
	}
}

func TestPathLayouts(t *testing.T) {
	for _, tt := range slices.Concat(nodeLayouts(), otherLayouts()) {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.build(w)
			w.path(tt.path...)
			w.o.Command = []string{tt.command}
			f := w.gather()
			if got := w.rootsOf(f); !slices.Equal(got, tt.roots) {
				t.Errorf("roots %q, want %q", got, tt.roots)
			}
			if want := w.at(tt.real); f.Command.Real != want {
				t.Errorf("real file %q, want %q", f.Command.Real, want)
			}
			if !f.Command.Bare || f.Command.InWorkspace {
				t.Errorf("bare %v, in workspace %v", f.Command.Bare, f.Command.InWorkspace)
			}
		})
	}
}
