package plan

import (
	"archive/zip"
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// cargoRegistry reads the user's cargo configuration; without a setting of its
// own the index that cargo used before tells the default: its folder is named by
// the host, and what it serves names the host of the downloads.
func (w *gatherer) cargoRegistry(context.Context) finding {
	var f finding
	home := w.env["CARGO_HOME"]
	if !filepath.IsAbs(home) {
		home = filepath.Join(w.f.Home, ".cargo")
	}
	var file string
	values := map[string]string{}
	for _, n := range []string{"config.toml", "config"} {
		file = filepath.Join(home, n)
		if b := w.settings(file); b != nil {
			values = parseTOML(b)
			break
		}
	}
	var out strings.Builder
	replaced := false
	if with := values["source.crates-io.replace-with"]; with != "" {
		if u := orElse(values["source."+with+".registry"], values["registries."+with+".index"]); u != "" {
			replaced = true
			f.add(cargoURL(u), file, true)
			out.WriteString("[source.crates-io]\nreplace-with = \"mirror\"\n[source.mirror]\nregistry = " + tomlString(cargoLogin(u)) + "\n")
		}
	}
	for _, k := range sortedKeys(values) {
		name, ok := strings.CutPrefix(k, "registries.")
		name, ok2 := strings.CutSuffix(name, ".index")
		if ok && ok2 {
			f.add(cargoURL(values[k]), file, true)
			out.WriteString("[registries." + tomlString(name) + "]\nindex = " + tomlString(cargoLogin(values[k])) + "\n")
		}
	}
	if out.Len() > 0 {
		f.file(".cargo/config.toml", out.String())
	}
	w.cargoIndexes(&f, home, replaced)
	return f
}

// cargoIndexes adds what cargo kept of the indexes that it used.
func (w *gatherer) cargoIndexes(f *finding, home string, replaced bool) {
	dirs, _ := os.ReadDir(filepath.Join(home, "registry", "index"))
	for i, d := range dirs {
		cut := strings.LastIndexByte(d.Name(), '-')
		if i == maxTargets || cut < 0 {
			break
		}
		u := "https://" + d.Name()[:cut]
		own := false
		for _, e := range f.endpoints {
			own = own || hostOf(e.url) == hostOf(u)
		}
		if replaced && !own {
			continue // the default, which a mirror stands for
		}
		f.add(u, "cargo's index", own)
		var c struct{ DL, API string }
		if json.Unmarshal(w.settings(filepath.Join(home, "registry", "index", d.Name(), "config.json")), &c) == nil {
			f.add(c.DL, "cargo's index", own)
		}
	}
}

// cargoURL drops the kind of index before a URL.
func cargoURL(s string) string {
	_, after, ok := strings.Cut(s, "+")
	if ok && strings.Contains(s[:len(s)-len(after)], "sparse") {
		return after
	}
	return s
}

func cargoLogin(s string) string {
	u := cargoURL(s)
	return strings.TrimSuffix(s, u) + withoutLogin(u)
}

// parseTOML reads the strings of a TOML file as far as registries need it: tables
// and `key = "value"`, by dotted names. Everything else is skipped.
func parseTOML(b []byte) map[string]string {
	out := map[string]string{}
	table := ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			name, _, _ := strings.Cut(strings.TrimPrefix(line, "["), "]")
			table = strings.ReplaceAll(strings.ReplaceAll(name, `"`, ""), " ", "") + "."
			continue
		}
		k, v, ok := strings.Cut(line, "=")
		v = strings.TrimSpace(v)
		if !ok || len(v) < 2 || v[0] != '"' && v[0] != '\'' {
			continue
		}
		v, _, ok = strings.Cut(v[1:], v[:1])
		if ok {
			out[table+strings.ReplaceAll(strings.TrimSpace(k), `"`, "")] = v
		}
	}
	return out
}

func tomlString(s string) string {
	b, _ := json.Marshal(s) // JSON's strings are TOML's basic strings
	return string(b)
}

// mavenSettings is the part of settings.xml that names repositories.
type mavenSettings struct {
	Mirrors []struct {
		ID       string `xml:"id"`
		MirrorOf string `xml:"mirrorOf"`
		URL      string `xml:"url"`
		Blocked  bool   `xml:"blocked"`
	} `xml:"mirrors>mirror"`
	Profiles []struct {
		Repositories []mavenRepository `xml:"repositories>repository"`
		Plugins      []mavenRepository `xml:"pluginRepositories>pluginRepository"`
	} `xml:"profiles>profile"`
}

type mavenRepository struct {
	ID  string `xml:"id"`
	URL string `xml:"url"`
}

// mavenMirror is what is written for the inside.
type mavenMirror struct {
	XMLName  xml.Name `xml:"mirror"`
	ID       string   `xml:"id"`
	MirrorOf string   `xml:"mirrorOf"`
	URL      string   `xml:"url"`
}

// mavenRegistry reads the user's settings and the installation's, then the
// repository that Maven's own super POM names.
func (w *gatherer) mavenRegistry(context.Context) finding {
	var f finding
	mvn := w.tool("mvn")
	home := filepath.Dir(filepath.Dir(mvn))
	files := []string{filepath.Join(w.f.Home, ".m2", "settings.xml")}
	if mvn != "" {
		files = append(files, filepath.Join(home, "conf", "settings.xml"))
	}
	var mirrors []mavenMirror
	whole := false
	for _, file := range files {
		var s mavenSettings
		if xml.Unmarshal(w.settings(file), &s) != nil {
			continue
		}
		for _, m := range s.Mirrors {
			u := w.mavenVars(m.URL)
			if m.Blocked || hostOf(u) == "" {
				continue
			}
			f.add(u, file, true)
			mirrors = append(mirrors, mavenMirror{ID: m.ID, MirrorOf: m.MirrorOf, URL: withoutLogin(u)})
			whole = whole || m.MirrorOf == "*" || m.MirrorOf == "central" || strings.HasPrefix(m.MirrorOf, "*,") ||
				strings.HasPrefix(m.MirrorOf, "external:*")
		}
		for _, p := range s.Profiles {
			for _, r := range append(p.Repositories, p.Plugins...) {
				f.add(w.mavenVars(r.URL), file, true)
			}
		}
	}
	if len(mirrors) > 0 {
		if b, err := xml.MarshalIndent(mirrors, "    ", "  "); err == nil {
			f.file(".m2/settings.xml", "<settings>\n  <mirrors>\n"+string(b)+"\n  </mirrors>\n</settings>\n")
		}
	}
	if !whole && mvn != "" {
		f.add(mavenCentral(home), "Maven's default", false)
	}
	return f
}

// mavenVars replaces ${env.NAME}.
func (w *gatherer) mavenVars(s string) string {
	return w.expandVars(strings.ReplaceAll(strings.TrimSpace(s), "${env.", "${"))
}

// mavenCentral is the repository of the super POM in an installation's jar.
func mavenCentral(home string) string {
	jars, _ := filepath.Glob(filepath.Join(home, "lib", "maven-model-builder*.jar"))
	for _, jar := range jars {
		z, err := zip.OpenReader(jar)
		if err != nil {
			continue
		}
		u := superPOM(&z.Reader)
		z.Close()
		if u != "" {
			return u
		}
	}
	return ""
}

func superPOM(z *zip.Reader) string {
	f, err := z.Open("org/apache/maven/model/pom-4.0.0.xml")
	if err != nil {
		return ""
	}
	defer f.Close()
	var p struct {
		Repositories []mavenRepository `xml:"repositories>repository"`
	}
	if xml.NewDecoder(io.LimitReader(f, maxConfig)).Decode(&p) != nil || len(p.Repositories) == 0 {
		return ""
	}
	return p.Repositories[0].URL
}
