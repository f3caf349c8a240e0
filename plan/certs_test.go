package plan

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/policy"
)

// authority makes a certificate and its key, as PEM.
func authority(t *testing.T, name string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Unix(1<<32, 0), IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return text("CERTIFICATE", der), text("PRIVATE KEY", kder)
}

// files are the small files of a plan.
func files(p *belljar.Plan) map[string]string {
	m := map[string]string{}
	for _, x := range p.Mounts {
		if x.Kind == belljar.MountFile {
			m[x.Target] = x.Content
		}
	}
	return m
}

// Certificates that a variable names are carried inside, and nothing else of the
// files that hold them.
func TestCertificatesAreCarried(t *testing.T) {
	w := newWorld(t)
	a, key := authority(t, "a")
	b, _ := authority(t, "b")
	forged := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("hunter2")}))
	with := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Headers: map[string]string{"X": "hunter2"}, Bytes: decode(t, b)}))
	bundle := w.file("corp/all.pem", "hunter2 in a comment\n"+a+key+forged+with+"hunter2")
	inProject := w.file("src/app/certs/ca.pem", a)
	w.file("hashed/11111111.0", a)
	w.file("hashed/22222222.0", b)
	w.file("hashed/key.pem", key)
	w.file("hashed/notes", "hunter2")
	w.file("only.key", key)
	w.link("/etc/ssl/certs", "etc-certs")
	w.o.Env = append(w.o.Env, "NODE_EXTRA_CA_CERTS="+bundle, "REQUESTS_CA_BUNDLE="+bundle, "CURL_CA_BUNDLE="+inProject, "SSL_CERT_DIR="+w.at("hashed"),
		"GIT_SSL_CAINFO="+w.at("only.key"), "PIP_CERT="+w.at("missing"), "AWS_CA_BUNDLE=../../corp/all.pem", "SSL_CERT_FILE=/dev/zero", "DENO_CERT=")
	r := w.reasoned("version: 1\nenv: {set: {CURL_CA_BUNDLE: /mine}}\n", policy.LoadOptions{})
	env, made := envMap(r.Plan.Env), files(r.Plan)
	const place = certsDir + "/node_extra_ca_certs.pem"
	for name, want := range map[string]string{
		"NODE_EXTRA_CA_CERTS": place, "REQUESTS_CA_BUNDLE": place, "AWS_CA_BUNDLE": place, "CURL_CA_BUNDLE": "/mine",
		"SSL_CERT_DIR": certsDir + "/ssl_cert_dir", "GIT_SSL_CAINFO": "", "PIP_CERT": "", "SSL_CERT_FILE": "", "DENO_CERT": "",
	} {
		if env[name] != want {
			t.Errorf("%s=%q, want %q", name, env[name], want)
		}
	}
	if made[place] != a+b {
		t.Errorf("carried %q", made[place])
	}
	dir := certsDir + "/ssl_cert_dir/"
	if made[dir+"11111111.0"] != a || made[dir+"22222222.0"] != b || made[dir+"key.pem"]+made[dir+"notes"] != "" {
		t.Errorf("%v", made)
	}
	for target, content := range made {
		if strings.Contains(content, "hunter2") || strings.Contains(content, "PRIVATE") || strings.Contains(content, pemBody(key)) {
			t.Errorf("%s holds more than certificates: %q", target, content)
		}
	}
	if notes := strings.Join(r.Plan.Notes, "\n"); strings.Count(notes, "is left out") != 3 {
		t.Errorf("notes: %s", notes)
	}
	r.check(t, []question{
		{"env", "NODE_EXTRA_CA_CERTS", "set", "default", 0, "certificates", ""},
		{"env", "PIP_CERT", "refuse", "", 0, "no certificates", "--env PIP_CERT"},
		{"path", certsDir + "/node_extra_ca_certs.pem", "private", "default", 0, "NODE_EXTRA_CA_CERTS", ""},
	})
}

func decode(t *testing.T, text string) []byte {
	t.Helper()
	b, _ := pem.Decode([]byte(text))
	if b == nil {
		t.Fatal("no PEM")
	}
	return b.Bytes
}

func pemBody(text string) string { return strings.Split(text, "\n")[1] }

// What the system's folders show inside already keeps its place; the same by a link
// of somebody else's does not.
func TestSystemCertificatesStay(t *testing.T) {
	system := "/etc/ssl/certs/ca-certificates.crt"
	if realOrClean("/etc/ssl/certs") != "/etc/ssl/certs" || !isFile(system) {
		system = "/usr/bin/env" // any file of the system: it is not read
	}
	w := newWorld(t)
	a, _ := authority(t, "a")
	w.file("mine.pem", a)
	w.o.Env = append(w.o.Env, "SSL_CERT_FILE="+system, "PIP_CERT="+w.at("mine.pem"), "SSL_CERT_DIR="+filepath.Dir(system))
	f := w.gather()
	for _, c := range f.Certs {
		if (len(c.Files) == 0) != (c.Name != "PIP_CERT") {
			t.Errorf("%s: %d files", c.Name, len(c.Files))
		}
	}
	if len(f.Certs) != 3 {
		t.Errorf("%v", f.Certs)
	}
}

// A company may trust many; they do not fill the plan without bound.
func TestCertificatesAreBounded(t *testing.T) {
	w := newWorld(t)
	a, _ := authority(t, "a")
	w.file("big.pem", strings.Repeat(a, 1+maxCertTotal/len(a)))
	w.file("huge.pem", strings.Repeat("#\n", maxCertFile))
	for i := range maxCertFiles + 1 {
		w.file("many/"+strings.Repeat("x", 1+i%200)+string(rune('a'+i/200)), a)
	}
	w.o.Env = append(w.o.Env, "SSL_CERT_FILE="+w.at("big.pem"), "PIP_CERT="+w.at("huge.pem"), "SSL_CERT_DIR="+w.at("many"))
	if f := w.gather(); len(f.Certs) != 0 || len(f.Notes) != 3 {
		t.Errorf("%d certificates, notes %v", len(f.Certs), f.Notes)
	}
}
