package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// A key is one row of the table that says what a key of the policy file means, in
// words for docs/policy.md and in code: how a layer is added, what a project's
// layer may say, what the ceiling cuts.
type key struct {
	Name    string // files.read
	Type    string
	Default string // without the key in any layer
	Example string // a file's text, after version: 1
	Doc     string
	Tighter string // what a project may say without being trusted
	Ceiling string // what the ceiling's value means

	rule keyRule
}

// A keyRule is the behaviour of one key.
type keyRule interface {
	// merge adds what d says to s, without asking whether it may.
	merge(s *state, d *document)
	// tighten adds what d says to s where that allows nothing new. What d says
	// beyond s is left out; beyond both s and full it is reported as well.
	tighten(s, full *state, d *document, r *report)
	// limit cuts s to what the ceiling c allows. What somebody asked for and is cut
	// is reported, what only a default or a preset says is cut and noted.
	limit(s *state, c *document, r *report, cut func(what string, by mark))
}

// keys is the table, in the order of the documentation. It is made once and read-only.
var keys = sync.OnceValue(newKeys)

func newKeys() []key {
	list := []key{
		{
			"extends", "list of presets", "none", "extends: [node, git]",
			"Presets whose rules are added below this layer. Names only, never files.",
			"only presets that are in force without the project", "not allowed in a ceiling", extendsRule{},
		},
		{
			"tier", "auto or the name of a tier", "auto", "tier: auto",
			"The isolation technology. `auto` takes the strongest that works here and never another by itself.",
			"the same tier, or one that is stronger", "the weakest tier allowed; a policy that says auto gets this one", tierRule{},
		},
		{
			"workspace.mode", "live, worktree, review or readonly", "live", "workspace: {mode: review}",
			"What becomes of writes below the workspace. Without it: live for a run in the foreground.",
			"readonly is tighter than review, review than worktree, worktree than live", "the widest mode allowed", modeRule{},
		},
		{
			keyLanding, "list of patterns", "nothing", "workspace: {mode: review, pass: [\"src/**\"]}",
			"Names in the workspace that land by themselves in mode review, as they do in live. What runs by itself, is held or hidden never does.",
			"only patterns that are already in force; [] takes all of them away", "the patterns that may be in force", landingRule(),
		},
		{
			"files.read", "list of paths", "nothing", "files: {read: [~/lib/protos, /srv/data]}",
			"Folders and files outside the workspace that are visible, read-only. Absolute, below ~/, or relative to the file's folder.",
			"only paths that are already readable; [] takes all of them away", "paths below which everything that is read must lie", readRule(),
		},
		{
			"files.write", "list of paths", "nothing", "files: {write: [~/reports]}",
			"Folders and files outside the workspace that are visible and writable. Never what tools of the host execute or obey.",
			"only paths that are already writable; [] takes all of them away", "paths below which everything that is written must lie", writeRule(),
		},
		{
			"files.hide", "list of patterns", "the default secrets", "files: {hide: [\"**/*.tfstate\", local]}",
			"Names in the workspace that do not exist inside, added to the default secrets.",
			"anything: every pattern hides more", "hidden as well", hideRule(),
		},
		{
			"files.hold", "list of patterns", "what runs by itself", "files: {hold: [\"deploy/**\"]}",
			"Names in the workspace whose changes wait until they are applied, added to what runs by itself.",
			"anything: every pattern holds more", "held as well", holdRule(),
		},
	}
	list = append(list, networkKeys()...)
	list = append(list, gitKeys()...)
	list = append(list, llmKey())
	for _, n := range limitNames() {
		k := limitKindOf(n)
		example := k.preset / 2
		if n == limitTokens {
			example = 5_000_000
		}
		list = append(list, key{
			"limits." + n, limitType(n), k.format(k.preset), "limits: {" + n + ": " + k.format(example) + "}",
			fmt.Sprintf("%s At least %s, at most %s.", limitDoc(n), k.format(k.least), k.format(k.most)),
			"the same or less", "the most allowed", limitRule{n},
		})
	}
	list = append(list,
		key{
			"env.pass", "list of names", "see below", "env: {pass: [EDITOR]}",
			"Variables of the caller's environment that are given to the sandbox, with their values, added to the default ones.",
			"only variables that are already passed; [] takes all of them away", "the variables that may be passed", passRule(),
		},
		key{
			"env.set", "mapping of names to words", "nothing", "env: {set: {CI: \"1\"}}",
			"Variables that are set inside.",
			"only variables that already have this very value", "not allowed in a ceiling", setRule{},
		},
		key{
			"credentials", "list of mappings", "those of the presets, where the caller has them",
			"credentials: [{name: ACME_TOKEN, from: {env: ACME_TOKEN}, hosts: [api.acme.dev], header: bearer}]",
			"Secrets that stay outside: inside, the variable `name` holds a stand-in, which the gateway replaces in requests to `hosts`.",
			"only names that are there already, with the same or fewer hosts, methods, paths and programs, never a source; [] takes all of them away; where one is taken away, other keys are still refused",
			"the names allowed, each with the hosts, methods, paths and programs that its entry has; elsewhere other keys are still refused", credentialsRule{},
		},
	)
	return slices.Concat(list, setupKeys(), commandKeys())
}

func commandKeys() []key {
	return []key{
		{
			"commands.allow", "list of rules", "nothing", "commands: {allow: [\"npm run *\", \"git status *\"]}",
			"Commands that `belljar judge`, and the [hooks](judge.md#in-an-agents-hook) of known agents, allow; everything else is asked. A rule is a pattern, or a mapping with `pattern`, `reason` and the examples `match` and `not_match`.",
			"only patterns that are already allowed; [] takes all of them away", "the patterns that may be allowed", allowedCommands(),
		},
		{
			"commands.ask", "list of rules", "nothing", "commands: {ask: [\"git push *\"]}",
			"Commands that are asked, whatever allows them; in a run, where the tier can, such a program waits for `belljar approve`, and such a line of a known agent by its hook.", "anything: every rule asks more", "asked as well", strictCommands{1},
		},
		{
			"commands.deny", "list of rules", "nothing", "commands: {deny: [{pattern: \"sudo *\", reason: no other user}]}",
			"Commands that are denied, whatever allows them; in a run, where the tier can, such a program does not start; a known agent is told so by its hook.", "anything: every rule denies more", "denied as well", strictCommands{2},
		},
		{
			"commands.context", "mapping: dir, home, writable, programs", "the project, HOME, the project and /tmp, the system's folders", "commands: {context: {writable: [/src/app, /tmp]}}",
			"Where lines are judged: the working folder, HOME, the folders that may be written, the folders whose programs are what their names say. Paths as text; nothing need exist.",
			"nothing", "not allowed in a ceiling", commandPlace{},
		},
		{
			keyOTLP, "mapping: endpoint, headers", "none", "otlp: {endpoint: \"https://otel.acme.dev:4318\", headers: ~/.config/otel-headers}",
			"Where records are sent to, by OTLP over HTTP: a base URL, and a file with the headers of requests (`Name: value`, one a line).",
			"nothing, trusted or not", "records go there, and nowhere else", otlpRule{},
		},
		{
			keyRecords, "size", "any", "records: 50GiB",
			"How large all [records](record.md) together may be: before a run, the oldest that nothing needs are removed, as `belljar prune records` does it. At least 1MiB.",
			"nothing, trusted or not", "the only bound", recordsRule{},
		},
		{
			keyNotify, "mapping: desktop, bell, webhook, on", "none", "notify: {desktop: true, bell: true, webhook: {url: \"https://hooks.acme.dev/belljar\", headers: ~/.config/hook-headers}, on: [waits]}",
			"How you are told that a run ended (`end`) or that something waits for an answer (`waits`), both without `on`: on the desktop, by the bell of a terminal that shows the run, by a request to a [webhook](running.md#being-told).",
			"nothing, trusted or not", "told as well, and its webhook is the only one", notifyRule{},
		},
	}
}

func setupKeys() []key {
	return []key{
		{
			keySetup, "list of lines", "nothing", "setup: {run: [\"npm ci\"]}",
			"Lines for /bin/sh that run inside before the command, in this order; the first that fails ends the run. In a sandbox whose HOME is kept each runs once, until its text changes.",
			"anything: they run inside, as everything of the project does; [] takes all of them away", "not allowed in a ceiling", setupRule{},
		},
		{
			keySetupAllow, "list of rules", "nothing", "setup: {run: [npm ci], allow: [packages.example.com]}",
			"Rules as in network.allow that hold while `setup.run` runs; when it has ended, so do its connections.",
			"only what network.allow or setup.allow allow already; [] takes all of them away", "not in a ceiling: network.allow of the ceiling covers these rules too", setupAllow(),
		},
	}
}

func networkKeys() []key {
	return []key{
		{
			"network.registries", "list of " + strings.Join(registryKinds(), ", "), "none", "network: {registries: [npm, go]}",
			"Package registries by kind: the hosts that this user's own settings name.",
			"only kinds that are already allowed; [] takes all of them away", "the kinds allowed", registriesRule(),
		},
		{
			"network.allow", "list of rules", "nothing", "network: {allow: [docs.example.com]}",
			"Hosts and addresses that exist for the sandbox, each with its ports (443 when none is named); of a host, `methods`, `paths`, `query`, `headers`, `rate` and `response` may confine the requests; with `ask` they wait for an answer.",
			"only hosts, addresses, ports and requests that are already allowed, private only where it already is, with `ask` where it already asks; [] takes all of them away",
			"rules that must cover every other rule, port by port and request by request; where one asks, so does what it covers", allowRule(),
		},
		{
			"network.publish", "list of ports", "nothing", "network: {publish: [3000]}",
			"Ports of the sandbox that the host can reach, on the sandbox's own 127.x.y.z.",
			"only ports that are already published; [] takes all of them away", "the ports that may be published", publishRule(),
		},
	}
}

func gitKeys() []key {
	return []key{
		{
			keyFetch, "list of repositories", "none", "git: {fetch: [github.com/acme/*]}",
			"Repositories that git may clone and fetch from, over https, as `HOST/PATH`; nothing else of their hosts.",
			"only repositories that may be fetched from already; [] takes all of them away",
			"repositories that must cover every other one; where only network.allow is there, its hosts", gitRule{},
		},
		{
			keyPush, "list of mappings", "none", "git: {push: [{repo: github.com/acme/widget, refs: [\"refs/heads/agent/*\"]}]}",
			"Repositories that git may push to, and fetch from: `refs` may be created and fast-forwarded. To their hosts nothing else is pushed, whatever network.allow says.",
			"only what may be pushed already; of a host to which anything may be pushed, what is left; [] takes all of them away",
			"repositories and refs that must cover every other one; to their hosts nothing else is pushed", gitRule{push: true},
		},
		{
			keySign, "ssh or none", SignNone, "git: {sign: ssh}",
			"With `ssh` git inside signs commits and tags, with a key that is made for the sandbox and exists nowhere else.",
			"the same, or none", "none: nothing is signed; ssh: anything", signRule{},
		},
	}
}

func llmKey() key {
	return key{
		keyLLM, "list of mappings", "those of the presets", "llm: [{host: api.anthropic.com, api: anthropic, models: [\"claude-*\"], tokens: 5M}]",
		"Hosts of models, which `network.allow` must allow: requests to them are those of their `api` (anthropic, openai, gemini) and judged; anything else there needs a rule with `paths`. `models`, `tokens` and `requests` limit what is asked; `fetch: allow` lets the provider fetch; `steer` tells the model when little is left; `endpoint` gives it a base URL inside.",
		"anything for a host without an entry; for others the same API, without `endpoint`: every entry confines more",
		"hold as well; no other API at their hosts", llmKeyRule{},
	}
}

func limitType(name string) string {
	switch name {
	case limitMemory, limitDisk, limitLog:
		return "size: 8GiB, 512MiB"
	case limitCPUs:
		return "number: 2, 0.5"
	case limitTime:
		return "time: 90m, 24h"
	case limitTokens:
		return "number: 5M, 200k"
	}
	return "count"
}

func limitDoc(name string) string {
	switch name {
	case limitMemory:
		return "Memory of everything inside, /tmp and /dev/shm included."
	case limitCPUs:
		return "Processors."
	case limitProcesses:
		return "Processes; threads count."
	case limitDisk:
		return "Bytes that a run may add below the workspace and HOME."
	case limitTime:
		return "How long a run may take."
	case limitLog:
		return "Bytes of a run's record; of ordinary connections, requests and files that is half used at most, the rest of them is counted. At its end the run ends."
	case limitTokens:
		return "Tokens of all models that `llm` names: input, output and what a cache of the provider read and wrote."
	}
	return "Open descriptors of one process."
}

// laterKeys are the keys of the format whose feature is not there yet.
func laterKeys() map[string]bool {
	m := map[string]bool{}
	for _, k := range []string{
		"network.upstream",
	} {
		m[k] = true
	}
	return m
}

// presetKeys are the keys that only belljar's presets have.
func presetKeys() map[string]bool {
	return map[string]bool{"about": true, "home": true, "sessions": true}
}

// nearestOf is nearest over names in any order.
func nearestOf(s string, names []string) string {
	slices.Sort(names)
	return nearest(s, names)
}

// elsewhere finds a key of that name at another place of the format.
func elsewhere(name string) string {
	places := map[string]string{
		"allow": "network.allow", "hosts": "network.allow", "domains": "network.allow", "allowed": "network.allow", "publish": "network.publish",
		"ports": "network.publish", "registries": "network.registries", "mode": "workspace.mode", "environment": "env", "variables": "env.set",
		"preset": "extends", "presets": "extends", "extend": "extends", "deny": "files.hide", "secrets": "files.hide", "ignore": "files.hide",
	}
	for _, n := range limitNames() {
		places[n] = "limits." + n
	}
	for _, n := range []string{"read", "write", "hide", "hold"} {
		places[n] = "files." + n
	}
	for _, n := range []string{"pass", "set"} {
		places[n] = "env." + n
	}
	near := nearestOf(name, slices.Collect(maps.Keys(places)))
	return places[near]
}
