package plan

import (
	"cmp"
	"strings"

	"github.com/belljar-dev/belljar"
)

// SigningKey is the file of the run's private folder that holds the private half of the
// sandbox's key for git. Nobody but its owner may read it, or ssh-keygen does not use it.
const SigningKey = "signing-key"

// signingDir is where git inside finds the key, read-only.
const signingDir = "/etc/belljar-git"

// gitName and gitEmail are who commits inside.
func (m *maker) gitName() string { return cmp.Or(m.f.Git.Name, m.f.Identity.User) }

func (m *maker) gitEmail() string {
	return cmp.Or(m.f.Git.Email, m.f.Identity.User+"@sandbox.invalid")
}

func (m *maker) signs() bool { return m.w.sign && m.f.Signing != "" }

// signing gives git inside a key of the sandbox's own.
func (m *maker) signing() {
	if !m.w.sign {
		return
	}
	if m.f.Signing == "" {
		m.p.Notes = append(m.p.Notes, "git inside signs with a key of the sandbox's own, which is made when it starts")
		return
	}
	m.p.Notes = append(m.p.Notes, "git inside signs with a key of the sandbox's own: "+m.f.Signing)
	const why = "the key with which git inside signs; it exists for this sandbox only"
	m.t.add(belljar.Mount{Kind: belljar.MountBind, Source: m.scratch(SigningKey), Target: signingDir + "/" + SigningKey, ReadOnly: true, Private: true, Why: why})
	for name, content := range map[string]string{
		SigningKey + ".pub": m.f.Signing + "\n",
		"allowed_signers":   m.gitEmail() + ` namespaces="git" ` + m.f.Signing + "\n",
	} {
		m.t.add(belljar.Mount{Kind: belljar.MountFile, Target: signingDir + "/" + name, Content: content, ReadOnly: true, Perm: 0o444, Why: why})
	}
}

// writeGitSigning lets git inside sign by itself, and know its own signatures.
func (m *maker) writeGitSigning(b *strings.Builder) {
	if !m.signs() {
		return
	}
	b.WriteString("[user]\n")
	writeGitValue(b, "signingKey", signingDir+"/"+SigningKey)
	b.WriteString("[gpg]\n\tformat = ssh\n[gpg \"ssh\"]\n")
	writeGitValue(b, "allowedSignersFile", signingDir+"/allowed_signers")
	b.WriteString("[commit]\n\tgpgSign = true\n[tag]\n\tgpgSign = true\n")
}
