package plan

import (
	"archive/zip"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hosts are all hosts of a kind, the user's own marked.
func hosts(f *Facts, kind string) []string {
	var out []string
	for _, r := range f.Registries {
		for _, h := range r.Hosts {
			if r.Kind != kind {
				continue
			}
			if r.Own {
				h = "own " + h
			}
			out = append(out, h)
		}
	}
	return out
}

func envAndFiles(f *Facts, kind string) (env, files map[string]string) {
	env, files = map[string]string{}, map[string]string{}
	for _, r := range f.Registries {
		if r.Kind == kind {
			maps.Copy(env, r.Env)
			maps.Copy(files, r.Files)
		}
	}
	return env, files
}

// fakeTools puts programs into HOME that say what the tools' own files say; none of
// them may be run: they leave a mark.
func fakeTools(w *world) {
	mark := "#!/bin/sh\necho ran >> " + w.at("ran") + "\n"
	w.file("npm/lib/node_modules/npm/bin/npm-cli.js", mark)
	w.file("npm/lib/node_modules/npm/node_modules/@npmcli/config/lib/definitions/definitions.js",
		"  registry: new Definition('registry', {\n    default: 'https://npm.default.example/',\n")
	w.link("../lib/node_modules/npm/bin/npm-cli.js", "npm/bin/npm")
	w.file("gosdk/bin/go", mark)
	w.file("gosdk/go.env", "# x\nGOPROXY=https://go.default.example,direct\nGOSUMDB=sum.default.example\n")
	w.file("py/bin/python3", mark)
	w.file("py/lib/python3.12/site-packages/pip/_internal/models/index.py",
		"PyPI = PackageIndex(\"https://pip.default.example/\", file_storage_domain=\"files.default.example\")\n")
	w.file("maven/bin/mvn", mark)
	w.path("~/npm/bin", "~/gosdk/bin", "~/py/bin", "~/maven/bin")
}

type registryCase struct {
	name, kind string
	build      func(w *world)
	hosts      []string
	env, files map[string]string
}

// npmRegistries are npm's.
func npmRegistries() []registryCase {
	return []registryCase{
		{
			name: "npm: the tool's default", kind: "npm",
			build: func(*world) {}, hosts: []string{"npm.default.example:443"},
		},
		{
			name: "npm: own, scoped, with credentials beside", kind: "npm",
			build: func(w *world) {
				w.file(".npmrc", "; x\nregistry = \"https://user:pw@NPM.corp.example.:8443/repo/\"\n"+
					"@acme:registry=http://other.example/\n//npm.corp.example/:_authToken=SECRET\n")
			},
			hosts: []string{"own other.example:80", "own npm.corp.example:8443"},
			env:   map[string]string{"npm_config_registry": "https://NPM.corp.example.:8443/repo/"},
			files: map[string]string{".npmrc": "@acme:registry=http://other.example/\n"},
		},
		{
			name: "npm: a variable", kind: "npm",
			build: func(w *world) {
				w.o.Env = append(w.o.Env, "NPM_HOST=var.example")
				w.file(".npmrc", "registry=https://${NPM_HOST}/\n")
			},
			hosts: []string{"own var.example:443"},
			env:   map[string]string{"npm_config_registry": "https://var.example/"},
		},
		{
			name: "npm: the project's is not read", kind: "npm",
			build: func(w *world) {
				w.file("src/app/.npmrc", "registry=https://evil.example/\n")
				w.link("src/app/.npmrc", ".npmrc")
			},
			hosts: []string{"npm.default.example:443"},
		},
		{
			name: "npm: the prefix's file", kind: "npm",
			build: func(w *world) {
				w.file(".npmrc", "prefix=~/.npm-global\n")
				w.file(".npm-global/etc/npmrc", "registry=https://prefix.example\n")
			},
			hosts: []string{"own prefix.example:443"},
			env:   map[string]string{"npm_config_registry": "https://prefix.example"},
		},
		{
			name: "npm: hostile values", kind: "npm",
			build: func(w *world) {
				w.file(".npmrc", "registry=file:///etc/passwd\n@a:registry=https://\n@b:registry=:::\n@c:registry=https://0.0.0.0/\n")
			},
		},
	}
}

// goAndPipRegistries are Go's and pip's.
func goAndPipRegistries() []registryCase {
	return []registryCase{
		{
			name: "go: the toolchain's default", kind: "go",
			build: func(*world) {}, hosts: []string{"go.default.example:443", "sum.default.example:443"},
		},
		{
			name: "go: go env -w", kind: "go",
			build: func(w *world) {
				w.file(".config/go/env", "GOPROXY=https://u:p@goproxy.corp.example/x|https://second.example,off\nGOSUMDB=off\nGOPRIVATE=corp.example\nGOFLAGS=-toolexec=/evil\n")
			},
			hosts: []string{"own goproxy.corp.example:443", "own second.example:443"},
			env:   map[string]string{"GOPROXY": "https://goproxy.corp.example/x,https://second.example,off", "GOSUMDB": "off", "GOPRIVATE": "corp.example"},
		},
		{
			name: "go: the environment goes first", kind: "go",
			build: func(w *world) {
				w.file(".config/go/env", "GOPROXY=https://file.example\n")
				w.o.Env = append(w.o.Env, "GOPROXY=https://env.example", "GOSUMDB=sum.example+abc https://mirror.example/sumdb")
			},
			hosts: []string{"own env.example:443", "own mirror.example:443"},
			env:   map[string]string{"GOPROXY": "https://env.example", "GOSUMDB": "sum.example+abc https://mirror.example/sumdb"},
		},
		{
			name: "pip: the tool's default", kind: "pip",
			build: func(*world) {}, hosts: []string{"pip.default.example:443", "files.default.example:443"},
		},
		{
			name: "pip: own index and extra ones", kind: "pip",
			build: func(w *world) {
				w.file(".config/pip/pip.conf", "[global]\nindex-url = https://u:p@pip.corp.example/simple\nextra-index-url =\n"+
					"    https://a.example/simple?x=1\n    http://b.example:81/\n[other]\nindex-url = https://no.example\n")
			},
			hosts: []string{"own pip.corp.example:443", "own a.example:443", "own b.example:81"},
			env: map[string]string{
				"PIP_INDEX_URL": "https://pip.corp.example/simple", "UV_DEFAULT_INDEX": "https://pip.corp.example/simple",
				"PIP_EXTRA_INDEX_URL": "https://a.example/simple?x=1 http://b.example:81/",
				"UV_INDEX":            "https://a.example/simple?x=1 http://b.example:81/",
			},
		},
	}
}

// otherRegistries are those of cargo and Maven.
func otherRegistries() []registryCase {
	return []registryCase{
		{
			name: "cargo: a mirror and a registry", kind: "cargo",
			build: func(w *world) {
				w.file(".cargo/config.toml", "[source.crates-io]\nreplace-with = \"corp\"\n[source.corp]\nregistry = \"sparse+https://u:p@cargo.corp.example/index/\"\n"+
					"[registries.\"x\"]\nindex = \"https://git.example/index\" # c\n[registry]\ntoken = \"SECRET\"\n")
				w.file(".cargo/registry/index/cargo.corp.example-0123/config.json", `{"dl":"https://dl.corp.example/x"}`)
				w.file(".cargo/registry/index/index.default.example-0123/config.json", `{"dl":"https://dl.default.example/x"}`)
			},
			hosts: []string{"own cargo.corp.example:443", "own git.example:443", "own dl.corp.example:443"},
			files: map[string]string{".cargo/config.toml": "[source.crates-io]\nreplace-with = \"mirror\"\n[source.mirror]\nregistry = \"sparse+https://cargo.corp.example/index/\"\n" +
				"[registries.\"x\"]\nindex = \"https://git.example/index\"\n"},
		},
		{
			name: "cargo: what was used before", kind: "cargo",
			build: func(w *world) {
				w.file(".cargo/registry/index/index.default.example-0123/config.json", `{"dl":"https://dl.default.example/x"}`)
			},
			hosts: []string{"index.default.example:443", "dl.default.example:443"},
		},
		{
			name: "maven: a mirror of all", kind: "maven",
			build: func(w *world) {
				w.file(".m2/settings.xml", "<settings xmlns=\"x\"><servers><server><password>SECRET</password></server></servers><mirrors>"+
					"<mirror><id>m</id><mirrorOf>*</mirrorOf><url> https://maven.corp.example/a&amp;b </url></mirror>"+
					"<mirror><id>b</id><mirrorOf>x</mirrorOf><url>http://0.0.0.0/</url><blocked>true</blocked></mirror></mirrors></settings>")
			},
			hosts: []string{"own maven.corp.example:443"},
			files: map[string]string{".m2/settings.xml": "<settings>\n  <mirrors>\n    <mirror>\n      <id>m</id>\n      <mirrorOf>*</mirrorOf>\n" +
				"      <url>https://maven.corp.example/a&amp;b</url>\n    </mirror>\n  </mirrors>\n</settings>\n"},
		},
		{
			name: "maven: the super POM", kind: "maven",
			build: func(w *world) {
				w.mkdir("maven/lib")
				f, err := os.Create(w.at("maven/lib/maven-model-builder-3.9.jar"))
				if err != nil {
					w.t.Fatal(err)
				}
				defer f.Close()
				z := zip.NewWriter(f)
				p, _ := z.Create("org/apache/maven/model/pom-4.0.0.xml")
				p.Write([]byte("<project><repositories><repository><id>central</id><url>https://central.default.example/m2</url></repository></repositories></project>"))
				if err := z.Close(); err != nil {
					w.t.Fatal(err)
				}
			},
			hosts: []string{"central.default.example:443"},
		},
	}
}

func TestRegistries(t *testing.T) {
	for _, tt := range slices.Concat(npmRegistries(), goAndPipRegistries(), otherRegistries()) {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			fakeTools(w)
			tt.build(w)
			w.o.Registries = []string{tt.kind, tt.kind, "unknown"}
			f := w.gather()
			if got := hosts(f, tt.kind); !slices.Equal(got, tt.hosts) && !machineSetting(f) {
				t.Errorf("hosts %q, want %q", got, tt.hosts)
			}
			env, files := envAndFiles(f, tt.kind)
			if d := cmp.Diff(orEmpty(tt.env), env); d != "" && !machineSetting(f) {
				t.Errorf("environment: %s", d)
			}
			if d := cmp.Diff(orEmpty(tt.files), files); d != "" {
				t.Errorf("files: %s", d)
			}
			for _, r := range f.Registries {
				for _, v := range slices.Concat(slices.Collect(maps.Values(r.Env)), slices.Collect(maps.Values(r.Files)), r.Hosts) {
					if strings.Contains(v, "SECRET") || strings.Contains(v, "u:p@") || strings.Contains(v, "user:pw") {
						t.Errorf("a credential in %q", v)
					}
				}
			}
			if exists(w.at("ran")) {
				t.Error("a tool was run although a file tells")
			}
		})
	}
}

// machineSetting says whether this machine's /etc decided: then the test cannot tell.
func machineSetting(f *Facts) bool {
	return slices.ContainsFunc(f.Registries, func(r Registry) bool {
		return under(r.From, "/etc") || under(r.From, "/usr/local/etc")
	})
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// Where no file tells, the tool is asked: in /, with a clean environment.
func TestRegistryIsAsked(t *testing.T) {
	w := newWorld(t)
	w.file("tools/bin/go", "#!/bin/sh\n{ pwd; env; } >> "+w.at("seen")+"\ncase $2 in GOPROXY) echo https://asked.example,direct;; GOSUMDB) echo off;; esac\n")
	w.path("~/tools/bin")
	w.o.Env = append(w.o.Env, "SECRET=1", "GOFLAGS=-x")
	w.o.Registries = []string{"go"}
	f := w.gather()
	if got := hosts(f, "go"); !slices.Equal(got, []string{"asked.example:443"}) {
		t.Errorf("hosts %q", got)
	}
	seen, err := os.ReadFile(w.at("seen"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(seen), "/\n") || strings.Contains(string(seen), "SECRET") || strings.Contains(string(seen), "GOFLAGS") {
		t.Errorf("the tool saw %q", seen)
	}
}

// A tool of the project is never asked.
func TestProjectToolIsNotAsked(t *testing.T) {
	w := newWorld(t)
	w.file("src/app/bin/go", "#!/bin/sh\necho ran >> "+w.at("ran")+"\necho https://evil.example\n")
	w.link(filepath.Join(w.at("src/app/bin/go")), "tools/go")
	w.o.Env = []string{"PATH=" + w.at("src/app/bin") + ":" + w.at("tools") + ":bin", "HOME=" + w.home}
	w.o.Registries = []string{"go", "npm", "pip", "maven"}
	f := w.gather()
	if exists(w.at("ran")) || len(hosts(f, "go")) > 0 {
		t.Errorf("the project's tool was run; hosts %q", hosts(f, "go"))
	}
}

func FuzzSettings(f *testing.F) {
	f.Add([]byte("[a]\nk = v\n  https://x\n\"k\"='v'\n[[x]]\na.b=\"c"))
	f.Add([]byte("[source.crates-io]\nreplace-with = \"x\"\n=\n \n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, v := range parseINI(b) {
			if h := hostOf(v.value); h != "" && !strings.Contains(h, ":") {
				t.Errorf("host %q of %q", h, v.value)
			}
		}
		parseTOML(b)
		dotEnv(b)
	})
}
