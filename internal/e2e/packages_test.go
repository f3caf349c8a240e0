package e2e

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// A shelf is what a registry serves: bodies by host and path.
type shelf map[string][]byte

func (s shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, _ := strings.Cut(r.Host, ":")
	b, ok := s[host+r.URL.Path]
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/simple/") {
		w.Header().Set("Content-Type", "text/html")
	}
	_, _ = w.Write(b)
}

// packages is one package of each kind, as registries of the five tools serve it. The
// names of the hosts are npm., pip., go., crates. and maven.example.com.
func packages(t *testing.T) shelf {
	s := shelf{}
	s.npm(t)
	s.pip(t)
	s.golang(t)
	s.crate(t)
	s.maven(t)
	return s
}

func (s shelf) put(at string, body []byte) { s[at] = body }

func (s shelf) npm(t *testing.T) {
	const host = "npm.example.com"
	pkg := tarball(t, map[string]string{
		"package/package.json": `{"name":"acme-left","version":"1.0.0","main":"index.js"}`, "package/index.js": `module.exports = "left by npm"`,
	})
	sum := sha512.Sum512(pkg)
	for _, name := range []string{"acme-left", "acme-closed"} {
		s.put(host+"/"+name, marshal(t, map[string]any{
			"name": name, "dist-tags": map[string]string{"latest": "1.0.0"},
			"versions": map[string]any{"1.0.0": map[string]any{"name": name, "version": "1.0.0", "dist": map[string]string{
				"tarball": "https://" + host + "/" + name + "/-/left-1.0.0.tgz", "integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:]),
			}}},
		}))
		s.put(host+"/"+name+"/-/left-1.0.0.tgz", pkg)
	}
}

func (s shelf) pip(t *testing.T) {
	wheel := archive(t, map[string]string{
		"acme_left.py":                      "text = 'left by pip'\n",
		"acme_left-1.0.dist-info/METADATA":  "Metadata-Version: 2.1\nName: acme-left\nVersion: 1.0\n",
		"acme_left-1.0.dist-info/WHEEL":     "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		"acme_left-1.0.dist-info/RECORD":    "acme_left.py,,\nacme_left-1.0.dist-info/METADATA,,\nacme_left-1.0.dist-info/WHEEL,,\nacme_left-1.0.dist-info/RECORD,,\n",
		"acme_left-1.0.dist-info/top_level": "acme_left\n",
	})
	const file = "/files/acme_left-1.0-py3-none-any.whl"
	s.put("pip.example.com/simple/acme-left/", fmt.Appendf(nil, `<!DOCTYPE html><html><body><a href="../..%s#sha256=%x">acme_left-1.0-py3-none-any.whl</a></body></html>`, file, sha256.Sum256(wheel)))
	s.put("pip.example.com"+file, wheel)
}

func (s shelf) golang(t *testing.T) {
	const at, mod = "go.example.com/code.example.org/left/@v/", "module code.example.org/left\n"
	s.put(at+"list", []byte("v1.0.0\n"))
	s.put(at+"v1.0.0.info", []byte(`{"Version":"v1.0.0","Time":"2024-01-01T00:00:00Z"}`))
	s.put(at+"v1.0.0.mod", []byte(mod))
	s.put(at+"v1.0.0.zip", archive(t, map[string]string{
		"code.example.org/left@v1.0.0/go.mod": mod, "code.example.org/left@v1.0.0/left.go": "package left\n\n// Text says where it comes from.\nconst Text = \"left by go\"\n",
	}))
}

func (s shelf) crate(t *testing.T) {
	pkg := tarball(t, map[string]string{
		"acme-left-1.0.0/Cargo.toml": "[package]\nname = \"acme-left\"\nversion = \"1.0.0\"\nedition = \"2018\"\n", "acme-left-1.0.0/src/lib.rs": "pub const TEXT: &str = \"left by cargo\";\n",
	})
	const host = "crates.example.com"
	s.put(host+"/config.json", []byte(`{"dl":"https://`+host+`/dl"}`))
	s.put(host+"/ac/me/acme-left", marshal(t, map[string]any{
		"name": "acme-left", "vers": "1.0.0", "deps": []any{}, "cksum": fmt.Sprintf("%x", sha256.Sum256(pkg)), "features": map[string]any{}, "yanked": false,
	}))
	s.put(host+"/dl/acme-left/1.0.0/download", pkg)
}

// maven has a parent and an extension: both are fetched before any plugin is.
func (s shelf) maven(t *testing.T) {
	pom := func(group, name, version, packaging string) []byte {
		return fmt.Appendf(nil, "<project><modelVersion>4.0.0</modelVersion><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version><packaging>%s</packaging></project>", group, name, version, packaging)
	}
	const acme, plexus = "org/example/acme/", "org/codehaus/plexus/plexus-utils/1.1/plexus-utils-1.1" // which Maven gives every extension
	jar := archive(t, map[string]string{"META-INF/MANIFEST.MF": "Manifest-Version: 1.0\n"})
	for name, body := range map[string][]byte{
		acme + "parent/1/parent-1.pom": pom("org.example.acme", "parent", "1", "pom"), acme + "left/1/left-1.pom": pom("org.example.acme", "left", "1", "jar"),
		acme + "left/1/left-1.jar": jar, plexus + ".pom": pom("org.codehaus.plexus", "plexus-utils", "1.1", "jar"), plexus + ".jar": jar,
	} {
		sum := sha1.Sum(body)
		s.put("maven.example.com/m2/"+name, body)
		s.put("maven.example.com/m2/"+name+".sha1", []byte(hex.EncodeToString(sum[:])))
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tarball(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func archive(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range files {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
