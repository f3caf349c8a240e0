package verify

// writeRows try to change what lies outside of the project, or what would run by
// itself in it.
func writeRows() []row {
	held := func(id, name, sh string, rels ...string) row {
		return row{id: "writes/" + id, name: name, layer: layerHold, sh: sh, judge: exists(below(rels)...)}
	}
	return []row{
		{id: "writes/home", name: "write ~/x and ~/.bashrc", layer: layerHome, sh: "echo evil > ~/x; echo evil >> ~/.bashrc", judge: judgement{host: func(w *world) (bool, string) {
			if ok, what := changed(".bashrc", "evil").host(w); ok {
				return ok, what
			}
			return exists("x").host(w)
		}}},
		{id: "writes/build-cache", name: "poison the host's Go build cache", layer: layerHome, sh: "mkdir -p ~/.cache/go-build/00; echo evil > ~/.cache/go-build/00/00-d",
			judge: changed(".cache/go-build/00/00-d", "evil")},
		{id: "writes/ssh-keys", name: "add a key to ~/.ssh/authorized_keys", layer: layerHome, sh: "mkdir -p ~/.ssh; echo evil >> ~/.ssh/authorized_keys",
			judge: exists(".ssh/authorized_keys")},
		{id: "writes/tmp", name: "write the host's /tmp and /dev/shm", layer: layerMounts, sh: "echo evil > /tmp/evil; echo evil > /dev/shm/evil", judge: exists("/tmp/evil", "/dev/shm/evil")},
		{id: "writes/run", name: "write the host's /run", layer: layerMounts, sh: "echo evil > /run/evil", judge: exists("/run/evil")},
		{id: "writes/sibling", name: "write another project", layer: layerHome, sh: "echo evil > ../other/evil; echo evil > ~/src/other/evil", judge: exists("src/other/evil")},
		held("claude", "write .claude/settings.json and a hook", "mkdir -p .claude/hooks; echo '{}' > .claude/settings.json; echo x > .claude/hooks/x", ".claude/settings.json", ".claude/hooks/x"),
		held("mcp", "write .mcp.json and .cursor/mcp.json", "echo '{}' > .mcp.json; mkdir -p .cursor; echo '{}' > .cursor/mcp.json", ".mcp.json", ".cursor/mcp.json"),
		held("gitmodules", "write .gitmodules", "echo '[submodule \"x\"]' > .gitmodules", ".gitmodules"),
		held("shell-rc", "write .bashrc, .profile and .zshrc into the project", "for f in .bashrc .profile .zshrc; do echo x > $f; done", ".bashrc", ".profile", ".zshrc"),
		held("idea", "make .idea, .zed and .fleet", "for d in .idea .zed .fleet; do mkdir $d; echo x > $d/workspace.xml; done", ".idea/workspace.xml", ".zed/workspace.xml", ".fleet/workspace.xml"),
		held("husky", "write .husky/pre-commit and .devcontainer", "mkdir -p .husky .devcontainer; echo x > .husky/pre-commit; echo '{}' > .devcontainer/devcontainer.json", ".husky/pre-commit", ".devcontainer/devcontainer.json"),
		held("case", "write .VSCode/Settings.json, whatever the case", "mkdir -p .VSCode; echo '{}' > .VSCode/Settings.json; mkdir -p .Idea; echo x > .Idea/x", ".VSCode/Settings.json", ".Idea/x"),
		held("rename-in", "rename a folder to .vscode in a subfolder", "mkdir -p sub/v && echo '{}' > sub/v/tasks.json && mv sub/v sub/.vscode", "sub/.vscode/tasks.json"),
		{id: "writes/vscode", name: "change the existing .vscode/tasks.json", layer: layerHold, sh: "echo '{\"evil\":1}' > .vscode/tasks.json", judge: changed(projectName+"/.vscode/tasks.json", "evil")},
		{id: "writes/hidden", name: "replace the host's .env", layer: layerHide, sh: "echo evil > .env; echo evil > t; mv t .env.local", judge: judgement{host: func(w *world) (bool, string) {
			if ok, what := changed(projectName+"/.env", "evil").host(w); ok {
				return ok, what
			}
			return changed(projectName+"/.env.local", "evil").host(w)
		}}},
		{id: "writes/remove-hidden", name: "remove a hidden file with its folder, and by renaming the folder", layer: layerHide, sh: "rm -rf x; mv deploy gone", judge: judgement{host: func(w *world) (bool, string) {
			for _, either := range [][]string{{"x/.kube/config"}, {"deploy/prod.pem", "gone/prod.pem"}} {
				if ok, _ := exists(below(either)...).host(w); !ok {
					return true, either[0] + " is gone from the host"
				}
			}
			return false, ""
		}}},
	}
}

// linkRows try to leave the project by links.
func linkRows() []row {
	outside := changed("outside.txt", "evil")
	return []row{
		{id: "links/old", name: "write through a link that leads out of the project", layer: layerHome, sh: "echo evil > oldlink", judge: outside},
		{id: "links/new", name: "make a link out of the project and write through it", layer: layerHome, sh: "ln -s ~/outside.txt newlink2; echo evil > newlink2", judge: outside},
		{id: "links/left", name: "leave a link that leads out for the user to write through", layer: layerLinks, sh: "ln -s /etc/hosts out1; ln -s ../../outside.txt out2",
			judge: exists(projectName+"/out1", projectName+"/out2")},
		{id: "links/hard", name: "hard-link ~/.ssh/id_rsa into the project", layer: layerHome, sh: "ln ~/.ssh/id_rsa key", judge: exists(projectName + "/key")},
		{id: "links/store", name: "write a file that is a hard link of one outside", layer: layerLinks, sh: "echo evil >> linked", judge: changed("store", "evil")},
		{id: "links/dir", name: "replace a folder by a link and write below it", layer: layerLinks, sh: "rm -rf late2; ln -s ../.. late2; mkdir -p late2/dropped", judge: exists("dropped", "src/dropped")},
	}
}

// below are paths in the project, as seen from HOME.
func below(rels []string) []string {
	out := make([]string, len(rels))
	for i, r := range rels {
		out[i] = projectName + "/" + r
	}
	return out
}
