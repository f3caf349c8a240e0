package rules

import "github.com/belljar-dev/belljar/internal/secrets"

// known is a group of names with one verdict.
type known struct {
	kind     Kind
	class    Class
	reason   string
	patterns []string
}

// secretNames are package secrets' table in the order of precedence: templates
// first, which are not hidden.
func secretNames() []known {
	t := []known{{kind: Pass, patterns: secrets.Templates()}}
	for _, g := range secrets.Groups() {
		k := known{Hide, Secret, g.Reason, g.Patterns}
		if g.Runs {
			k.class = SelfRunning
		}
		t = append(t, k)
	}
	return t
}

// selfRunning are held: nobody needs to be told to execute or obey them.
var selfRunning = []known{
	{Hold, Policy, "belljar obeys it", []string{"belljar.yaml", "belljar.yml"}},
	{Hold, GitConfig, "git obeys it", []string{".gitmodules", ".gitconfig", ".lfsconfig"}},
	{Hold, GitConfig, "version control obeys it", []string{
		"**/.hg/{hgrc*,requires,sharedpath,shared}", "**/.sl/{config*,requires,sharedpath}", "**/.jj/repo/config*", "**/.jj/config*",
		"**/_darcs/prefs", "**/.pijul/config",
	}},
	{Hold, SelfRunning, "git hooks live here", []string{".husky", ".githooks", ".git-hooks"}},
	{Hold, SelfRunning, "an editor executes or obeys it when the folder is opened", []string{
		".vscode", ".idea", ".cursor", ".zed", ".fleet", ".devcontainer", ".devcontainer.json", ".vs", ".windsurf", ".helix", ".nova",
		".theia", ".kiro", ".trae", ".bsp", ".settings", ".externalToolBuilders", ".project", "*.code-workspace", "*.sublime-project",
		"*.ipr", "*.iws", ".vim", ".vimrc", "_vimrc", ".gvimrc", ".exrc", "_exrc", ".nvimrc", ".nvim.lua", ".nvim", ".lvimrc",
		".local.vimrc", ".vimrc.local", ".vimspector.json", ".ycm_extra_conf.py", ".luarc.json", ".luarc.jsonc",
		"rust-analyzer.toml", ".rust-analyzer.toml", ".dir-locals.el", ".dir-locals-2.el", ".emacs", ".emacs.d", ".kakrc",
		".lazy.lua", "rust-project.json",
	}},
	{Hold, SelfRunning, "an agent executes or obeys it when it starts here", []string{
		".claude", ".mcp.json", ".codex", ".gemini", ".opencode", "opencode.json", "opencode.jsonc", ".aider*", ".crush", ".crush.json",
		"crush.json", ".continue", ".roo", ".roomodes", ".cline", ".qwen", ".junie", ".amazonq", ".augment", ".goose", ".copilot", ".factory",
		".kilo", ".kilocode", ".amp", ".pi", ".agents", ".vibe", ".rovodev", ".qoder", ".iflow", ".codebuddy", ".bob", ".openhands",
		"**/.github/hooks", "**/.github/copilot",
	}},
	{Hold, SelfRunning, "a shell or terminal program executes it at its start", []string{
		".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".profile", ".zshrc", ".zshenv", ".zprofile",
		".zlogin", ".zlogout", ".kshrc", ".mkshrc", ".cshrc", ".tcshrc", ".login", ".logout", "config.fish", ".inputrc", ".tmux.conf",
		".screenrc", ".xinitrc", ".xprofile", ".xsession", ".pam_environment",
	}},
	{Hold, SelfRunning, "an interpreter or debugger executes it at its start", []string{
		".gdbinit", ".gdbearlyinit", ".lldbinit", ".pythonrc", ".pythonrc.py", ".pdbrc", ".irbrc", ".pryrc", ".Rprofile", ".ghci", ".ocamlinit",
		".iex.exs", ".octaverc", ".guile", ".sqliterc", ".psqlrc", ".wgetrc", ".curlrc",
	}},
	{Hold, SelfRunning, "it is executed or obeyed on entering the folder", []string{
		".direnv", ".autoenv", ".autoenv.zsh", ".autoenv_leave.zsh", ".shadowenv.d", "**/bin/activate-hermit", "rust-toolchain", "rust-toolchain.toml",
		".miserc.toml", ".tool-versions", "mise.toml", "mise.*.toml", ".mise.toml", ".mise.*.toml", ".mise",
		"**/mise/config*.toml", "**/mise/conf.d", "**/.config/mise*", ".rtx.toml", ".watchmanconfig",
	}},
}

// userRun pass in live mode and are listed first: the user's next build, test or
// run executes them.
var userRun = []known{
	{Pass, UserRun, "a build or test tool executes it", []string{
		"Makefile", "GNUmakefile", "*.mk", "CMakeLists.txt", "*.cmake", "configure", "configure.ac", "meson.build", "SConstruct",
		"BUILD", "BUILD.bazel", "WORKSPACE", "MODULE.bazel", ".bazelrc", "*.bzl", "justfile", ".justfile", "Taskfile.y*ml", "Rakefile",
		"Gemfile", "*.gemspec", "Cargo.toml", "build.rs", "**/.cargo/config*", "go.work", "pom.xml", "**/.mvn/**", "mvnw", "gradlew",
		"*.gradle", "*.gradle.kts", "gradle-wrapper.*", "build.xml", "build.sbt", "*.csproj", "*.fsproj", "*.sln", "*.targets", "*.props",
		"*.nix", "Package.swift", "mix.exs", "rebar.config", "dune", "dune-project", "build.zig", "Podfile", "Fastfile", "Vagrantfile",
	}},
	{Pass, UserRun, "a package manager executes its scripts", []string{
		"package.json", ".yarnrc", ".yarnrc.yml", "**/.yarn/**", ".pnpmfile.cjs", ".pnpmfile.mjs", "pnpm-workspace.yaml", "deno.json*", "bunfig.toml",
		"setup.py", "setup.cfg", "pyproject.toml", "conftest.py", "tox.ini", "noxfile.py", "pytest.ini", "*.pth", "sitecustomize.py",
		"usercustomize.py", "composer.json", "**/node_modules/.bin/**", "**/{.venv,venv}/**", "*.pyc",
	}},
	{Pass, UserRun, "a script", []string{
		"*.sh", "*.bash", "*.zsh", "*.fish", "*.ps1", "*.bat", "*.cmd", "*.command", "*.desktop", "*.service", "*.AppImage", "*.so", "*.exe",
	}},
	{Pass, UserRun, "a linter, formatter or bundler executes its configuration", []string{
		"*.config.{js,cjs,mjs,ts,mts,cts}", ".eslintrc*", ".prettierrc*", ".babelrc*", ".pylintrc", "pylintrc", "gulpfile.*", "Gruntfile.*",
		".rubocop.yml", ".golangci.y*ml", ".stylelintrc*", ".mocharc*", ".nycrc*", ".lintstagedrc*",
	}},
	{Pass, UserRun, "a hook manager executes it", []string{
		".pre-commit-config.yaml", ".pre-commit-hooks.yaml", "lefthook.y*ml", ".lefthook.y*ml", ".huskyrc*", ".overcommit.yml",
	}},
	{Pass, UserRun, "a filter or driver of your git may be chosen by it", []string{".gitattributes"}},
	{Pass, UserRun, "your CI executes it", []string{
		"**/.github/**", ".gitlab-ci.yml", "**/.circleci/**", "azure-pipelines.yml", "Jenkinsfile", ".travis.yml", ".drone.yml",
		"**/.buildkite/**", "bitbucket-pipelines.yml", "cloudbuild.yaml", "**/.forgejo/**", "**/.gitea/**",
	}},
	{Pass, UserRun, "a container or cluster runs what it says", []string{
		"Dockerfile*", "*.dockerfile", "Containerfile*", "docker-compose*.y*ml", "compose*.y*ml", "skaffold.yaml", "Tiltfile", "Procfile*",
	}},
	{Pass, UserRun, "an agent follows it", []string{
		"AGENTS.md", "AGENTS.override.md", "CLAUDE.md", "CLAUDE.local.md", "GEMINI.md", "QWEN.md", ".cursorrules", ".windsurfrules", ".clinerules",
		".goosehints", ".rules",
	}},
}
