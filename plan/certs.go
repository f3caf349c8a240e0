package plan

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/policy"
)

// Bounds for what a variable of certificates may bring: a bundle of all public
// authorities is about 250 KB.
const (
	maxCertFile  = 2 << 20
	maxCertTotal = 1 << 20 // of what is carried, all variables together
	maxCertFiles = 512     // of one folder
)

// certsDir is where carried certificates are inside; nothing else is ever there.
const certsDir = "/etc/belljar-certs"

// Certs are certificates that a variable of the caller names.
type Certs struct {
	Name  string `json:"name"`  // of the variable
	Value string `json:"value"` // absolute
	// Files are the certificates, by name; a single one without a name when Value is
	// a file; none where the system's folders show them inside already. They are
	// certificates and nothing else, whatever the host's files hold.
	Files []CertFile `json:"files,omitempty"`
}

// A CertFile is one file of certificates.
type CertFile struct {
	Name string `json:"name,omitempty"`
	PEM  string `json:"pem"`
}

// certs reads what the caller's variables of certificates name.
func (w *gatherer) certs() {
	total := 0
	seen := map[string]Certs{}
	for _, name := range policy.CertVariables() {
		v := w.env[name]
		if v == "" {
			continue
		}
		if !filepath.IsAbs(v) {
			v = filepath.Join(w.f.Dir, v)
		}
		v = filepath.Clean(v)
		if c, ok := seen[v]; ok {
			c.Name = name
			w.f.Certs = append(w.f.Certs, c)
			continue
		}
		c, err := readCerts(v)
		for _, f := range c.Files {
			total += len(f.PEM)
		}
		if err == nil && total > maxCertTotal {
			err = errors.New("the certificates are too many to be carried")
		}
		if err != nil {
			w.note("%s is left out: %s: %v", name, quoted(v), bareErr(err))
			continue
		}
		c.Name = name
		seen[v] = c
		w.f.Certs = append(w.f.Certs, c)
	}
}

// readCerts reads a file of certificates, or a folder of such files.
func readCerts(v string) (Certs, error) {
	c := Certs{Value: v}
	if !plainName(v) {
		return c, errors.New("its name has control characters or is not UTF-8")
	}
	st, err := os.Stat(v)
	if err != nil || systemCerts(v) && systemCerts(realOrClean(v)) {
		return c, err
	}
	if !st.IsDir() {
		text, err := certificates(v)
		c.Files = []CertFile{{PEM: text}}
		return c, err
	}
	d, err := os.Open(v)
	if err != nil {
		return c, err
	}
	defer d.Close()
	names, _ := d.Readdirnames(maxCertFiles + 1)
	if len(names) > maxCertFiles {
		return c, errors.New("the folder has too many files")
	}
	for _, n := range names {
		if text, err := certificates(filepath.Join(v, n)); err == nil && plainName(n) {
			c.Files = append(c.Files, CertFile{n, text})
		}
	}
	if len(c.Files) == 0 {
		return c, errors.New("it holds no certificates")
	}
	return c, nil
}

// certificates are the certificates of a PEM file, without comments, keys and
// whatever else stands there.
func certificates(file string) (string, error) {
	b, err := readSmall(file, maxCertFile)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			continue
		}
		if err := pem.Encode(&out, &pem.Block{Type: block.Type, Bytes: block.Bytes}); err != nil {
			return "", err
		}
	}
	if out.Len() == 0 {
		return "", errors.New("it holds no certificates")
	}
	return out.String(), nil
}

// systemCerts says whether the place of certificates is visible inside as it is.
func systemCerts(p string) bool {
	const dir = "/etc/ssl/certs"
	return underAny(p, systemRoots) || under(p, dir) && realOrClean(dir) == dir
}

// carryCerts puts the certificates into the plan that are not visible already.
func (m *maker) carryCerts() {
	for _, c := range m.f.Certs {
		place := m.certPlace(c)
		for _, f := range c.Files {
			m.t.add(belljar.Mount{
				Kind: belljar.MountFile, Target: path.Join(place, f.Name), Content: f.PEM, ReadOnly: true, Perm: 0o444,
				Why: "the certificates of " + c.Name,
			})
		}
	}
}

// certPlace is where the certificates of a variable are inside; the same for all
// variables that name the same.
func (m *maker) certPlace(c Certs) string {
	if len(c.Files) == 0 {
		return c.Value
	}
	i := slices.IndexFunc(m.f.Certs, func(o Certs) bool { return o.Value == c.Value })
	place := path.Join(certsDir, strings.ToLower(m.f.Certs[max(i, 0)].Name))
	if c.Files[0].Name == "" {
		place += ".pem"
	}
	return place
}
