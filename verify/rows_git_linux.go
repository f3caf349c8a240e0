package verify

import (
	"os"
	"path/filepath"

	"github.com/belljar-dev/belljar"
)

// gitRows plant what git, or an editor or direnv in a repository, runs at its next
// call. Each works in a repository of its own.
func gitRows() []row {
	type attack struct{ id, name, script string }
	var out []row
	for _, a := range []attack{
		{"hook", "write .git/hooks/pre-commit", `exe .git/hooks/pre-commit $HOOK`},
		{"post-checkout", "write .git/hooks/post-checkout", `exe .git/hooks/post-checkout $HOOK`},
		{"config", "append to .git/config", `add .git/config $CONFIG`},
		{"config-by-git", "git config core.fsmonitor and core.hooksPath", `sh git config core.fsmonitor "$LINE"; sh git config core.hooksPath h; exe h/pre-commit $HOOK`},
		{"config-lock", "replace .git/config by its lock file", `cp .git/config .git/config.lock; add .git/config.lock $CONFIG; mv .git/config.lock .git/config`},
		{"config-worktree", "configuration of a worktree", `sh git config extensions.worktreeConfig true; add .git/config [extensions] worktreeConfig=true; put .git/config.worktree $CONFIG`},
		{"rename-git", "rename .git and make a new one", `mv .git g; mkdir .git/hooks; cp g .git; add .git/config $CONFIG`},
		{"rename-and-back", "rename .git, change it, rename it back", `mv .git g; add g/config $CONFIG; mv g .git`},
		{"hooks-swapped", "replace .git/hooks by a new folder", `mv .git/hooks .git/h2; mkdir .git/hooks; exe .git/hooks/pre-commit $HOOK`},
		{"hooks-prepared", "prepare hooks elsewhere and move them in", `exe h/pre-commit $HOOK; rm .git/hooks; mv h .git/hooks`},
		{"hooks-in-git", "prepare hooks inside .git and rename them", `exe .git/x/pre-commit $HOOK; rm .git/hooks; mv .git/x .git/hooks`},
		{"hooks-link", "make .git/hooks a link into the tree", `exe h/pre-commit $HOOK; rm .git/hooks; lns ../h .git/hooks`},
		{"config-hard-link", "hard-link a configuration into .git", `put c $CONFIG; cp .git/config c0; rm .git/config; ln c .git/config`},
		{"commondir", ".git/commondir leads into the tree", `cp .git evil; add evil/config $CONFIG; put .git/commondir ../evil`},
		{"nested-new", "git init in a subfolder", `mkdir sub; sh cd sub && git init -q && git config core.fsmonitor "$LINE"; add sub/.git/config $CONFIG`},
		{"nested-by-hand", "a nested repository made by hand", `repo sub/.git; put sub/.git/HEAD $HEAD; put sub/.git/config $CONFIG`},
		{"nested-prepared", "a nested repository made under another name", `repo sub/g; put sub/g/HEAD $HEAD; put sub/g/config $CONFIG; mv sub/g sub/.git`},
		{"git-file", "a .git file that leads into the tree", `repo x; put x/HEAD $HEAD; put x/config $CONFIG; put sub/.git gitdir: ../x`},
		{"bare", "the bones of a bare repository, no .git in any name", `repo b; put b/config $BARE; put b/HEAD $HEAD`},
		{"bare-head-first", "a bare repository, HEAD first", `put b/HEAD $HEAD; put b/config $BARE; repo b`},
		{"bare-head-renamed", "a bare repository, HEAD by a rename", `repo b; put b/config $BARE; put b/H $HEAD; mv b/H b/HEAD`},
		{"bare-head-linked", "a bare repository, HEAD by a hard link", `repo b; put b/config $BARE; put b/H $HEAD; ln b/H b/HEAD`},
		{"bare-refs-last", "a bare repository, refs by a rename", `mkdir b/objects; put b/HEAD $HEAD; put b/config $BARE; mkdir b/r; mv b/r b/refs`},
		{"bare-moved", "a bare repository, moved whole", `repo t; put t/config $BARE; put t/h $HEAD; mv t/h t/HEAD; mv t b`},
		{"bare-clone", "git clone --bare, then its configuration", `sh git clone -q --bare . b; add b/config $BARE`},
		{"worktree", "a linked worktree's configuration", `mkdir .git/worktrees/e; put .git/worktrees/e/commondir ../../../evil; repo evil; put evil/HEAD $HEAD; put evil/config $CONFIG; put .git/worktrees/e/HEAD $HEAD; put w2/.git gitdir: ../.git/worktrees/e`},
		{"modules", "a submodule's git directory", `repo .git/modules/m; put .git/modules/m/HEAD $HEAD; put .git/modules/m/config $CONFIG; put sub/.git gitdir: ../.git/modules/m`},
		{"attributes", ".git/info/attributes and filter drivers", `put .git/info/attributes * filter=e diff=e; add .git/config $FILTER; put f changed`},
		{"include", "include a configuration from the tree", `add .git/config $INCLUDE; put inc $CONFIG`},
		{"head-link", "replace HEAD and make the repository anew", `rm .git; repo .git; put .git/HEAD $HEAD; put .git/config $CONFIG`},
		{"exchange", "exchange .git with a prepared one", `repo n; put n/HEAD $HEAD; put n/config $CONFIG; swap n .git`},
		{"rebase", "a rebase under way that executes", `sh git commit -q --allow-empty -m two; sh git rebase -q -x "$LINE && false" HEAD~1`},
		{"envrc", "an .envrc, written and by a rename", `put .envrc $RUN; put d/e $RUN; mv d/e d/.envrc`},
	} {
		out = append(out, row{
			id: "git/" + a.id, name: a.name, script: a.script, layer: layerHold, judge: judgement{marked: true}, excuse: programMissing("git"),
		})
	}
	return out
}

// hostRows plant what other programs of a developer run.
func hostRows() []row {
	line := func(id string) string { return payload("host/" + id) }
	review := func(id string) string { return payload("review/" + id) }
	return []row{
		{id: "host/direnv", name: "an .envrc that direnv obeys", layer: layerHold, sh: "echo '" + line("direnv") + "' > .envrc", judge: judgement{marked: true}, excuse: programMissing("direnv")},
		{id: "host/editor-task", name: "an editor's task that runs when the folder is opened", layer: layerHold,
			sh:    `mkdir -p ed/.vscode; printf '%s' '{"version":"2.0.0","tasks":[{"label":"x","command":"` + line("editor-task") + `","runOptions":{"runOn":"folderOpen"}}]}' > ed/.vscode/tasks.json`,
			judge: judgement{marked: true}},
		{id: "host/npmrc", name: "an .npmrc that names the shell of npm test", layer: layerHide, excuse: programMissing("npm"),
			sh:    `printf '#!/bin/sh\n%s\nexec sh "$@"\n' '` + line("npmrc") + `' > shell.sh; chmod +x shell.sh; echo "script-shell=$PWD/shell.sh" > .npmrc`,
			judge: judgement{marked: true}},
		{id: "host/husky", name: "a husky hook", layer: layerHold, sh: `mkdir -p .husky; printf '#!/bin/sh\n%s\n' '` + line("husky") + `' > .husky/pre-commit; chmod +x .husky/pre-commit`, judge: judgement{marked: true}},
		{id: "host/bashrc", name: "a .bashrc of the project", layer: layerHold, sh: `echo '` + line("bashrc") + `' > .bashrc`, judge: judgement{marked: true}, excuse: programMissing("bash")},
		{id: "review/makefile", name: "mode review: a Makefile that the user's next make obeys", phase: phaseReview, layer: layerReview, excuse: programMissing("make"),
			sh: `printf 'all:\n\t%s\n' '` + review("makefile") + `' > Makefile; printf 'all:\n\t%s\n' '` + review("makefile") + `' > GNUmakefile`, judge: judgement{marked: true}},
		{id: "review/npm-script", name: "mode review: a script of package.json", phase: phaseReview, layer: layerReview, excuse: programMissing("npm"),
			sh: `printf '{"name":"d","version":"1.0.0","scripts":{"test":"%s"}}' '` + review("npm-script") + `' > package.json`, judge: judgement{marked: true}},
		{id: "review/any-file", name: "mode review: any change of the project", phase: phaseReview, layer: layerReview, req: belljar.ReqView,
			sh: "echo evil > any; rm README", judge: judgement{host: func(w *world) (bool, string) {
				if ok, what := exists(projectName + "/any").host(w); ok {
					return ok, what
				}
				_, err := os.Lstat(filepath.Join(w.project(), "README"))
				return err != nil, "README is gone from the host"
			}}},
	}
}
