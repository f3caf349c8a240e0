package plan

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
)

// TrustBundle is the name of the file among [TrustFiles] that holds all certificates as
// PEM; trustJava of the one in Java's own format.
const (
	TrustBundle = "ca-bundle.pem"
	trustJava   = "cacerts"
	trustNSS    = "cert9.db" // that of browsers
)

// bundlePlaces are where systems keep all certificates that they trust, in one file.
func bundlePlaces() []string {
	return []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"}
}

// javaPlaces are where systems keep those of Java.
func javaPlaces() []string {
	return []string{"/etc/ssl/certs/java/cacerts", "/etc/pki/ca-trust/extracted/java/cacerts", "/etc/pki/java/cacerts"}
}

// trustPlaces finds the files of certificates that exist.
func (w *gatherer) trustPlaces() {
	real := func(places []string) (found []string) {
		for _, p := range places {
			r, err := filepath.EvalSymlinks(p)
			if st, serr := os.Stat(r); err == nil && serr == nil && st.Mode().IsRegular() && systemCerts(r) && !slices.Contains(found, r) {
				found = append(found, r)
			}
		}
		return found
	}
	w.f.Bundles = real(bundlePlaces())
	java := javaPlaces()
	if home := w.env["JAVA_HOME"]; filepath.IsAbs(home) {
		java = append(java, filepath.Join(home, "lib/security/cacerts"), filepath.Join(home, "jre/lib/security/cacerts"))
	}
	w.f.JavaStores = real(java)
}

// trust makes programs inside trust the gateway, where it ends TLS: the system's own
// files of certificates are replaced by ones that have its certificate as well, and
// variables name them for programs that bring certificates of their own.
func (m *maker) trust() error {
	if !sees(&m.p.Network) {
		return nil
	}
	if m.f.CA == "" {
		return &belljar.Error{Op: "make plan", Kind: belljar.KindInternal, Err: errors.New("the gateway ends TLS and has no certificate")}
	}
	const why = "certificates that the system trusts, with the gateway's"
	file := func(name, target string) {
		m.t.add(belljar.Mount{Kind: belljar.MountBind, Source: m.scratch(name), Target: target, ReadOnly: true, Private: true, Why: why})
	}
	file(TrustBundle, certsDir+"/"+TrustBundle)
	for _, p := range m.f.Bundles {
		file(TrustBundle, p)
	}
	for _, p := range m.f.JavaStores {
		file(trustJava, p)
	}
	m.p.HomeFiles = append(m.p.HomeFiles, belljar.HomeFile{Path: ".pki/nssdb/" + trustNSS, From: trustNSS, Mark: nssLabel})
	m.t.add(belljar.Mount{
		Kind: belljar.MountFile, Target: gatewayCert, Content: m.f.CA + m.carried("NODE_EXTRA_CA_CERTS", "DENO_CERT"), ReadOnly: true, Perm: 0o444,
		Why: "the gateway's certificate, with which it ends TLS",
	})
	return nil
}

// gatewayCert is the place of the gateway's own certificate inside.
const gatewayCert = certsDir + "/gateway.pem"

// scratch is a file of the run's private folder.
func (m *maker) scratch(name string) string { return filepath.Join(m.f.RuntimeDir, m.f.ID, name) }

// carried are the certificates of the caller's variables, once each.
func (m *maker) carried(names ...string) string {
	var b strings.Builder
	var seen []string
	for _, c := range m.f.Certs {
		if !slices.Contains(names, c.Name) || slices.Contains(seen, c.Value) {
			continue
		}
		seen = append(seen, c.Value)
		for _, f := range c.Files {
			b.WriteString(f.PEM)
		}
	}
	return b.String()
}

// trustEnv tells programs that do not look at the system's files. Some variables add to
// what a program trusts, the others replace it.
func (m *maker) trustEnv(env map[string]variable) {
	if !sees(&m.p.Network) {
		return
	}
	set := func(value string, names ...string) {
		for _, n := range names {
			env[n] = variable{value: value, origin: ours, why: "the gateway ends TLS for some hosts, and programs trust it by this"}
		}
	}
	set(gatewayCert, "NODE_EXTRA_CA_CERTS", "DENO_CERT")
	set(certsDir+"/"+TrustBundle, "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO", "PIP_CERT",
		"AWS_CA_BUNDLE", "NIX_SSL_CERT_FILE", "CODEX_CA_CERTIFICATE")
	set("system", "DENO_TLS_CA_STORE")
}

// TrustFiles are the files that a plan made from f mounts from the run's private
// folder, by name: the host's certificates, those that the caller's variables name, and
// f.CA. The caller writes them before the sandbox starts. It reads files of the host.
func TrustFiles(f *Facts) (map[string][]byte, error) {
	var bundle bytes.Buffer
	if len(f.Bundles) > 0 {
		b, err := readSmall(f.Bundles[0], maxCertFile)
		if err != nil {
			return nil, fmt.Errorf("read certificates %q: %w", f.Bundles[0], err)
		}
		bundle.Write(bytes.TrimRight(b, "\n"))
		bundle.WriteByte('\n')
	}
	for _, c := range f.Certs {
		for _, file := range c.Files {
			bundle.WriteString(file.PEM)
		}
		if len(c.Files) == 0 && !slices.Contains(f.Bundles, realOrClean(c.Value)) {
			if text, err := certificates(c.Value); err == nil { // visible inside as it is, in no bundle
				bundle.WriteString(text)
			}
		}
	}
	bundle.WriteString(f.CA)
	files := map[string][]byte{TrustBundle: bundle.Bytes()}
	if store := nssStore(f.CA); store != nil {
		files[trustNSS] = store
	}
	if len(f.JavaStores) > 0 {
		store, err := readSmall(f.JavaStores[0], maxCertFile)
		if err != nil {
			return nil, fmt.Errorf("read certificates %q: %w", f.JavaStores[0], err)
		}
		files[trustJava] = javaStore(store, bundle.Bytes(), f.CA)
	}
	return files, nil
}

// ders are the certificates of a PEM text.
func ders(text []byte) [][]byte {
	var l [][]byte
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return l
		}
		if b.Type == "CERTIFICATE" {
			l = append(l, b.Bytes)
		}
	}
}
