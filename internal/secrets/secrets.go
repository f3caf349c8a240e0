// Package secrets is the one table of file names that are likely to hold a
// credential: names that do not exist in a sandbox unless a user copies them.
//
//	for _, g := range secrets.Groups() { … g.Patterns … }
//
// Package workspace/rules hides them, whatever a policy says; package policy lists
// them, so that everybody who reads a policy or its documentation sees them.
//
// # Model
//
// A pattern is one of package internal/glob, relative to the root of a view: without
// a slash it matches at any depth. A name that [Templates] matches is not hidden by
// this table; a pattern of the user's hides it all the same.
//
// # Limitations
//
// Names are a guess. A credential in a file of an ordinary name is seen; files.hide
// is for those.
package secrets

// A Group is a set of patterns with one reason.
type Group struct {
	Reason   string
	Patterns []string
	// Runs says that something on the host executes such a file by itself.
	Runs bool
}

// Templates match names that look like secrets and are made to be read and committed.
func Templates() []string {
	return []string{
		".env.{example,sample,template,dist,tpl}", ".env.*.{example,sample,template,dist,tpl}", ".envrc.{example,sample,template,dist}",
	}
}

// Groups is the table. Each call makes a new one.
func Groups() []Group {
	return []Group{
		{Reason: "direnv executes it, and it may hold credentials", Runs: true, Patterns: []string{".envrc", ".envrc.*"}},
		{Reason: "environment files hold credentials", Patterns: []string{".env*", ".dev.vars*", ".flaskenv", ".Renviron"}},
		{Reason: "private keys and key stores", Patterns: []string{
			"*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.ppk", "*.kdbx", "*.agekey", "*.p8",
			"id_{rsa,dsa,ecdsa,ed25519,ecdsa_sk,ed25519_sk}", ".ssh", ".gnupg",
		}},
		{Reason: "credentials of a package registry", Patterns: []string{
			".npmrc", ".pypirc", "**/.cargo/credentials{,.toml}", "**/.gem/credentials", "**/.composer/auth.json", "**/.bundle/config",
			"**/.m2/settings{,-security}.xml",
		}},
		{Reason: "credentials of git and of network programs", Patterns: []string{
			".git-credentials", ".netrc", "_netrc", ".pgpass", ".my.cnf", ".htpasswd", "**/.config/gh", "**/.config/git/credentials",
		}},
		{Reason: "credentials of a cloud or a cluster", Patterns: []string{
			"*service-account*.json", "*service_account*.json", "*-credentials.json", "credentials.json", "client_secret*.json",
			"application_default_credentials.json", ".kube", "kubeconfig", "*.kubeconfig", ".aws", ".azure", "**/.config/gcloud",
			"**/.docker/config.json", ".dockercfg", ".dockerconfigjson", ".boto", ".s3cfg", ".vault-token", ".terraformrc", "terraform.rc",
			"credentials.tfrc.json", "**/.streamlit/secrets.toml", ".secrets",
		}},
		{Reason: "credentials of an agent", Patterns: []string{
			"**/.claude/.credentials.json", "**/.codex/auth.json", "**/.gemini/{oauth_creds,google_accounts}.json",
		}},
	}
}

// Patterns are the patterns of all groups, in their order.
func Patterns() []string {
	var all []string
	for _, g := range Groups() {
		all = append(all, g.Patterns...)
	}
	return all
}
