package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// registryTools are the package managers, each with the line that fetches one package
// and shows it, what it prints then, and a request that the registry must have seen.
var registryTools = []struct{ kind, program, line, prints, asks string }{
	{"npm", "npm", "(mkdir n && cd n && npm install --no-audit --no-fund --fetch-retries=0 --silent acme-left && node -p 'require(\"acme-left\")')", "left by npm", "GET /acme-left/-/left-1.0.0.tgz "},
	{"pip", "pip3", "/usr/bin/python3 -m pip install -q --disable-pip-version-check --target p acme-left && PYTHONPATH=p /usr/bin/python3 -c 'import acme_left; print(acme_left.text)'", "left by pip", "GET /files/acme_left-1.0-py3-none-any.whl "},
	{"go", "go", "(mkdir g && cd g && echo 'module x' > go.mod && cat $(GOFLAGS=-modcacherw go mod download -json code.example.org/left@v1.0.0 | sed -n 's/.*\"Dir\": \"\\(.*\\)\",/\\1/p')/left.go)", "left by go", "GET /code.example.org/left/@v/v1.0.0.zip "},
	{"cargo", "cargo", "(cd c && cargo fetch -q && cat ~/.cargo/registry/src/*/acme-left-1.0.0/src/lib.rs)", "left by cargo", "GET /dl/acme-left/1.0.0/download "},
	{"maven", "mvn", "(cd m && mvn -q -B validate && echo left by maven)", "left by maven", "GET /m2/org/example/acme/left/1/left-1.jar "},
}

// registryWorld is a world whose user has company registries in the settings of every
// tool, and the tools of the system.
func registryWorld(t *testing.T) (*world, *secureServer) {
	testenv.Need(t, "only-run")
	for _, tool := range registryTools {
		testenv.Need(t, tool.program)
	}
	w := newWorld(t)
	s := newSecureServer(t, w.home)
	s.answers = packages(t)
	w.env = slices.DeleteFunc(w.env, func(e string) bool { return strings.HasPrefix(e, "PATH=") })
	w.env = append(w.env, "PATH=/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin", "HTTPS_PROXY="+companyProxy(t, s.port))
	for _, name := range []string{"NODE_EXTRA_CA_CERTS", "PIP_CERT", "SSL_CERT_FILE", "CARGO_HTTP_CAINFO"} {
		w.env = append(w.env, name+"="+s.ca)
	}
	for path, text := range map[string]string{
		".npmrc":               "registry=https://npm.example.com/\n//npm.example.com/:_authToken=" + homeSecret + "\n",
		".config/pip/pip.conf": "[global]\nindex-url = https://user:" + homeSecret + "@pip.example.com/simple/\n",
		".config/go/env":       "GOPROXY=https://go.example.com\nGOSUMDB=off\n",
		".cargo/config.toml":   "[source.crates-io]\nreplace-with = \"acme\"\n[source.acme]\nregistry = \"sparse+https://crates.example.com/\"\n",
		".m2/settings.xml":     "<settings><servers><server><id>acme</id><password>" + homeSecret + "</password></server></servers><mirrors><mirror><id>acme</id><mirrorOf>*</mirrorOf><url>https://maven.example.com/m2</url></mirror></mirrors></settings>",
		"proj/c/Cargo.toml":    "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2018\"\n[dependencies]\nacme-left = \"1\"\n",
		"proj/c/src/lib.rs":    "",
		"proj/m/pom.xml": `<project><modelVersion>4.0.0</modelVersion><parent><groupId>org.example.acme</groupId><artifactId>parent</artifactId><version>1</version></parent>
<artifactId>x</artifactId><packaging>pom</packaging><build><extensions><extension><groupId>org.example.acme</groupId><artifactId>left</artifactId><version>1</version></extension></extensions></build></project>`,
	} {
		w.write(w.home+"/"+path, text)
	}
	return w, s
}

// TestRegistries: the package managers fetch from the registries of the user's own
// settings, whether the gateway looks at what they ask or only passes it through.
func TestRegistries(t *testing.T) {
	for mode, more := range map[string]string{
		"passed through": "",
		"seen": `    allow: [{host: "*.example.com", methods: [GET], paths: ["/**"]}]
credentials: [{name: ACME_TOKEN, hosts: ["*.example.com"], methods: [GET], header: bearer}]`,
	} {
		t.Run(mode, func(t *testing.T) {
			if ownKernel() && more == "" && os.Getenv("BELLJAR_SOAK") == "" {
				t.Skip("the gateway is the same on every tier, and these programs take long to start on this one")
			}
			w, s := registryWorld(t)
			w.env = append(w.env, "ACME_TOKEN="+realKey)
			w.write("reg.yaml", "version: 1\nnetwork:\n    registries: [npm, pip, go, cargo, maven]\n"+more+"\n")
			var lines, want, asked []string
			if more == "" { // a machine may name a file of certificates to npm, which then reads no other
				lines = []string{"export npm_config_cafile=$NODE_EXTRA_CA_CERTS"}
			}
			for _, tool := range registryTools {
				if tool.kind == "maven" && more == "" {
					continue // Java takes no file of certificates from a variable
				}
				lines = append(lines, tool.line+" || echo "+tool.kind+" failed")
				want = append(want, tool.prints)
				asked = append(asked, tool.asks)
			}
			r := w.trySh("exec 2>&1\n"+strings.Join(lines, "\n"), "--policy", "reg.yaml", "--upstream-by-name")
			mustContain(t, "output", r.out, want...)
			mustLack(t, "output", r.out+r.errout, realKey, homeSecret)
			seen := s.requests()
			for _, q := range asked {
				i := slices.IndexFunc(seen, func(l string) bool { return strings.HasPrefix(l, q) })
				if i < 0 || strings.HasSuffix(seen[i], realKey) != (more != "") {
					t.Errorf("%s: %q", q, seen)
				}
			}
			if told := strings.Contains(w.belljar("log").out, "GET /acme-left "); told != (more != "") {
				t.Errorf("requests are on record: %v", told)
			}
			if t.Failed() {
				t.Logf("%s\n%s", r.out, r.errout)
			}
		})
	}
}

// TestRegistryByPath: a rule for some packages of a registry is held, and npm tells why.
func TestRegistryByPath(t *testing.T) {
	if ownKernel() && os.Getenv("BELLJAR_SOAK") == "" {
		t.Skip("the gateway is the same on every tier, and npm takes long to start on this one")
	}
	w, s := registryWorld(t)
	w.write("path.yaml", `version: 1
network: {allow: [{host: npm.example.com, methods: [GET], paths: ["/acme-left", "/acme-left/**"]}]}
env: {set: {npm_config_registry: "https://npm.example.com/", npm_config_fetch_retries: "0"}}
`)
	r := w.trySh(`exec 2>&1; mkdir n; cd n
npm install --no-audit --no-fund --silent acme-left && node -p 'require("acme-left")'
npm install --no-audit --no-fund acme-closed || echo not the other one
echo '{"name":"acme-left","version":"2.0.0"}' > package.json; npm publish --//npm.example.com/:_authToken=of-somebody || echo nothing is published`, "--policy", "path.yaml", "--upstream-by-name")
	mustContain(t, "output", r.out, "left by npm", "403", "but not GET /acme-closed", "not the other one", "nothing is published")
	for _, l := range s.requests() {
		if !strings.HasPrefix(l, "GET /acme-left") {
			t.Errorf("the registry saw %s", l)
		}
	}
	if t.Failed() {
		t.Logf("%s\n%s", r.out, r.errout)
	}
}
