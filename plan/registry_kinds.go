package plan

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// npmRegistry reads .npmrc files in npm's order of precedence, then npm's own default.
func (w *gatherer) npmRegistry(ctx context.Context) finding {
	var f finding
	main, from := "", ""
	scopes := map[string]string{}
	take := func(key, value, where string) {
		value = w.expandVars(value)
		switch {
		case strings.HasPrefix(key, "@") && strings.HasSuffix(key, ":registry"):
			if _, ok := scopes[key]; !ok {
				scopes[key] = value
				f.add(value, where, true)
			}
		case key == "registry" && main == "":
			main, from = value, where
		}
	}
	for _, k := range []string{"npm_config_registry", "NPM_CONFIG_REGISTRY"} {
		if v := w.env[k]; v != "" {
			take("registry", v, k)
		}
	}
	for _, file := range w.npmrcFiles() {
		for _, v := range parseINI(w.settings(file)) {
			take(v.key, v.value, file)
		}
	}
	if main != "" {
		f.add(main, from, true)
		f.set("npm_config_registry", withoutLogin(main))
	} else {
		f.add(w.npmDefault(ctx))
	}
	if len(scopes) > 0 {
		var b strings.Builder
		for _, k := range sortedKeys(scopes) {
			b.WriteString(k + "=" + withoutLogin(scopes[k]) + "\n")
		}
		f.file(".npmrc", b.String())
	}
	return f
}

// npmrcFiles are the user's file and the machine's: the first that names a
// registry wins.
func (w *gatherer) npmrcFiles() []string {
	user := filepath.Join(w.f.Home, ".npmrc")
	if p := w.env["NPM_CONFIG_USERCONFIG"]; p != "" {
		user = p
	}
	files := []string{user}
	for _, v := range parseINI(w.settings(user)) {
		if v.key == "prefix" {
			prefix := strings.Replace(w.expandVars(v.value), "~", w.f.Home, 1)
			files = append(files, filepath.Join(prefix, "etc", "npmrc"))
		}
	}
	if npm := w.tool("npm"); npm != "" {
		// …/lib/node_modules/npm/bin/npm-cli.js: the prefix and npm's built-in file.
		pkg := filepath.Dir(filepath.Dir(npm))
		files = append(files, filepath.Join(pkg, "..", "..", "..", "etc", "npmrc"), filepath.Join(pkg, "npmrc"))
	}
	return append(files, "/usr/local/etc/npmrc", "/etc/npmrc")
}

var npmDefaultRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`'registry', \{\s*default:\s*['"]([^'"]+)['"]`) })

// npmDefault is the registry that npm uses without any setting, as its own
// program text says; else npm is asked.
func (w *gatherer) npmDefault(ctx context.Context) (u, from string, own bool) {
	npm := w.tool("npm")
	if npm == "" {
		return "", "", false
	}
	file := filepath.Join(filepath.Dir(filepath.Dir(npm)), "node_modules/@npmcli/config/lib/definitions/definitions.js")
	if m := npmDefaultRE().FindSubmatch(w.settings(file)); m != nil {
		return string(m[1]), "npm's default", false
	}
	return w.ask(ctx, npm, "config", "get", "registry"), "npm config get registry", false
}

// goRegistry reads the environment, the user's go/env, the toolchain's go.env.
func (w *gatherer) goRegistry(ctx context.Context) finding {
	var f finding
	goTool := w.tool("go")
	user := filepath.Join(w.configHome(), "go", "env")
	if p := w.env["GOENV"]; p != "" {
		user = p // "off" is not absolute and reads as nothing
	}
	type source struct {
		from   string
		values map[string]string
		own    bool
	}
	sources := []source{{"the environment", w.env, true}, {user, dotEnv(w.settings(user)), true}}
	if goTool != "" {
		file := filepath.Join(filepath.Dir(filepath.Dir(goTool)), "go.env")
		sources = append(sources, source{"Go's default", dotEnv(w.settings(file)), false})
	}
	lookup := func(key string) (string, source) {
		for _, s := range sources {
			if v := s.values[key]; v != "" {
				return v, s
			}
		}
		return w.ask(ctx, goTool, "env", key), source{from: "go env " + key}
	}
	proxy, s := lookup("GOPROXY")
	var list []string
	for _, u := range strings.FieldsFunc(proxy, func(r rune) bool { return r == ',' || r == '|' }) {
		f.add(u, s.from, s.own)
		list = append(list, withoutLogin(u))
	}
	if s.own {
		f.set("GOPROXY", strings.Join(list, ","))
	}
	sum, s := lookup("GOSUMDB")
	f.add(sumHost(sum), s.from, s.own)
	if s.own {
		f.set("GOSUMDB", sum)
	}
	for _, k := range []string{"GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOINSECURE", "GOTOOLCHAIN"} {
		for _, s := range sources[:2] {
			if v := s.values[k]; v != "" {
				f.set(k, v)
				break
			}
		}
	}
	return f
}

// sumHost is the URL of a checksum database: "off", NAME, NAME+KEY, or either with a URL.
func sumHost(s string) string {
	words := strings.Fields(s)
	switch {
	case len(words) == 0 || words[0] == "off":
		return ""
	case len(words) > 1:
		return words[1]
	}
	name, _, _ := strings.Cut(words[0], "+")
	return "https://" + name
}

// dotEnv reads NAME=value lines.
func dotEnv(b []byte) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(k, "#") {
			m[k] = v
		}
	}
	return m
}

// pipRegistry reads the environment and pip's files, then pip's own default.
func (w *gatherer) pipRegistry(ctx context.Context) finding {
	var f finding
	values := map[string]endpoint{}
	take := func(key, value, from string) {
		key = strings.ReplaceAll(strings.ToLower(key), "_", "-")
		if _, ok := values[key]; !ok && value != "" && (key == "index-url" || key == "extra-index-url") {
			values[key] = endpoint{value, from, true}
		}
	}
	take("index-url", w.env["PIP_INDEX_URL"], "PIP_INDEX_URL")
	take("extra-index-url", w.env["PIP_EXTRA_INDEX_URL"], "PIP_EXTRA_INDEX_URL")
	files := []string{
		w.env["PIP_CONFIG_FILE"], filepath.Join(w.configHome(), "pip", "pip.conf"),
		filepath.Join(w.f.Home, ".pip", "pip.conf"), "/etc/pip.conf", "/etc/xdg/pip/pip.conf",
	}
	for _, file := range files {
		for _, v := range parseINI(w.settings(file)) {
			if v.section == "global" || v.section == "install" || v.section == "download" {
				take(v.key, v.value, file)
			}
		}
	}
	index, files2, from := w.pipDefault(ctx)
	main := values["index-url"]
	if main.url == "" {
		f.add(index, from, false)
		f.add(files2, from, false)
	} else {
		f.add(main.url, main.from, true)
		if hostOf(main.url) == hostOf(index) {
			f.add(files2, from, false)
		}
		f.set("PIP_INDEX_URL", withoutLogin(main.url))
		f.set("UV_DEFAULT_INDEX", withoutLogin(main.url))
	}
	var extra []string
	for _, u := range strings.Fields(values["extra-index-url"].url) {
		f.add(u, values["extra-index-url"].from, true)
		extra = append(extra, withoutLogin(u))
	}
	f.set("PIP_EXTRA_INDEX_URL", strings.Join(extra, " "))
	f.set("UV_INDEX", strings.Join(extra, " "))
	return f
}

var pipDefaultRE = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`PyPI = PackageIndex\(\s*"([^"]+)",\s*file_storage_domain="([^"]+)"`)
})

// pipDefault is the index that pip uses without any setting and the host of its
// files, as pip's own program text says; else Python is asked.
func (w *gatherer) pipDefault(ctx context.Context) (index, files, from string) {
	const file = "pip/_internal/models/index.py"
	python := w.tool("python3")
	patterns := []string{"/usr/lib/python3*/site-packages", "/usr/local/lib/python3*/site-packages"}
	if python != "" {
		patterns = append([]string{filepath.Join(filepath.Dir(filepath.Dir(python)), "lib", "python3*", "site-packages")}, patterns...)
	}
	var places []string
	for _, p := range patterns {
		more, _ := filepath.Glob(p)
		places = append(places, more...)
	}
	places = append(places, "/usr/lib/python3/dist-packages")
	for _, p := range places {
		if m := pipDefaultRE().FindSubmatch(w.settings(filepath.Join(p, file))); m != nil {
			return string(m[1]), "https://" + string(m[2]), "pip's default"
		}
	}
	const question = "from pip._internal.models.index import PyPI as p; print(p.url, p.file_storage_domain)"
	if words := strings.Fields(w.ask(ctx, python, "-I", "-c", question)); len(words) == 2 {
		return words[0], "https://" + words[1], "pip's default"
	}
	return "", "", ""
}
