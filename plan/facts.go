package plan

import "github.com/belljar-dev/belljar"

// Facts are what [Gather] found on the host: plain data that survives a round
// trip through JSON. Paths are real paths (links resolved) unless a field says so.
type Facts struct {
	ID       string           `json:"id"`
	Name     string           `json:"name"`
	Named    bool             `json:"named,omitempty"` // the user named it: its HOME is kept
	Identity belljar.Identity `json:"identity"`

	Home       string `json:"home"` // of the caller
	Dir        string `json:"dir"`  // current folder
	StateDir   string `json:"state_dir"`
	RuntimeDir string `json:"runtime_dir"`
	ConfigDir  string `json:"config_dir"`

	Workspace WorkspaceFacts `json:"workspace"`
	Command   Program        `json:"command"`
	// Setup are steps that come after the policy's: those of a devcontainer.json.
	Setup      []belljar.SetupStep `json:"setup,omitempty"`
	Path       []PathEntry         `json:"path"`   // PATH, in order, what was left out included
	System     []SystemDir         `json:"system"` // top-level folders of the system
	Etc        []EtcFile           `json:"etc"`    // allow-listed things of /etc that exist
	Rules      []RulePath          `json:"rules"`  // files.read and files.write
	Env        []string            `json:"env"`    // the caller's whole environment
	Certs      []Certs             `json:"certs,omitempty"`
	Git        GitUser             `json:"git"`
	Registries []Registry          `json:"registries,omitempty"`
	Links      []Link              `json:"links,omitempty"` // links on the way to what is mounted
	// Bundles and JavaStores are the system's files of certificates, real paths.
	Bundles    []string `json:"bundles,omitempty"`
	JavaStores []string `json:"java_stores,omitempty"`
	// Credentials and CA are not gathered: the caller makes the stand-ins of what
	// [Credentials] picks, and the certificate (PEM) with which the gateway ends TLS.
	Credentials []belljar.Credential `json:"credentials,omitempty"`
	Programs    []ProgramFile        `json:"programs,omitempty"` // that credentials of the policy are for
	Logins      []Login              `json:"logins,omitempty"`   // as the caller found them, too
	Denied      []DeniedName         `json:"denied,omitempty"`   // programs that rules for commands deny whole
	CA          string               `json:"ca,omitempty"`
	// Signing is the public half of the sandbox's key for git, in one line; empty: none is
	// made. Its private half is the file [SigningKey] of the run's private folder.
	Signing string `json:"signing,omitempty"`
	// Notes say in one sentence each what was left out and why.
	Notes []string `json:"notes,omitempty"`
}

// WorkspaceFacts describe the project.
type WorkspaceFacts struct {
	Dir string `json:"dir"`
	// FS is the name of its file system where it is known; Network says that other
	// machines may change it without our seeing it.
	FS      string `json:"fs,omitempty"`
	Network bool   `json:"network,omitempty"`
	// GitDirs are git directories that belong to the project but lie outside it,
	// each checked to name this project as its own work tree.
	GitDirs []string `json:"git_dirs,omitempty"`
	// Repository is the project's own, where a worktree is to be made of it.
	Repository *Repository `json:"repository,omitempty"`
}

// A Repository is the project's git repository, checked to belong to it: real paths.
type Repository struct {
	GitDir string `json:"git_dir"`
	Common string `json:"common"` // what linked work trees share; GitDir without any
}

// A Program is a command as a shell would find it on the host.
type Program struct {
	Argv []string `json:"argv"`
	// Path is the absolute path as found, links unresolved, so that programs which
	// look at their own name work; Real is the file behind it.
	Path string `json:"path"`
	Real string `json:"real"`
	Bare bool   `json:"bare,omitempty"` // found on PATH by its bare name
	// InWorkspace says that the file, or the PATH entry it was found by, belongs to
	// the project (or that the entry was relative): it is not a known agent,
	// whatever its name.
	InWorkspace bool   `json:"in_workspace,omitempty"`
	Roots       []Root `json:"roots,omitempty"` // what it needs, outside the system's folders
	Links       []Link `json:"links,omitempty"`
}

// A Root is a file or folder of the host that is made visible read-only.
type Root struct {
	Path string `json:"path"`
	Why  string `json:"why"`
	// Project says that Path is a folder in which somebody works, not an
	// installation: it is served by name, so that its secrets stay hidden.
	Project bool `json:"project,omitempty"`
}

// A Link is a symbolic link on the way to something that is mounted.
type Link struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// A PathEntry is one entry of the caller's PATH.
type PathEntry struct {
	As    string `json:"as"`             // as written, cleaned
	Real  string `json:"real,omitempty"` // empty when it does not exist
	Roots []Root `json:"roots,omitempty"`
	Left  string `json:"left,omitempty"` // why it is left out; empty when it is visible inside
}

// A SystemDir is a top-level folder of the system, or the link that stands for it.
type SystemDir struct {
	Path string `json:"path"`
	Link string `json:"link,omitempty"`
}

// An EtcFile is one thing of /etc.
type EtcFile struct {
	Path string `json:"path"`
	Dir  bool   `json:"dir,omitempty"`
	Real string `json:"real"`
	Link string `json:"link,omitempty"` // a link into the system's folders: its text
	// Content is the whole file where it is small text; Bind says that it is not.
	Content string `json:"content,omitempty"`
	Bind    bool   `json:"bind,omitempty"`
}

// RuleKind says what a path of a files rule is.
type RuleKind string

// The kinds of things that a files rule may name.
const (
	RuleMissing RuleKind = "missing"
	RuleFile    RuleKind = "file"
	RuleDir     RuleKind = "dir"
	RuleOther   RuleKind = "other" // socket, device, pipe: never served
)

// A RulePath is a path that files.read or files.write names.
type RulePath struct {
	As    string   `json:"as"`
	Real  string   `json:"real,omitempty"`
	Kind  RuleKind `json:"kind"`
	Write bool     `json:"write,omitempty"`
	// Closed is the path that the caller may not read, this one or a folder above
	// it; empty when it can be read.
	Closed string `json:"closed,omitempty"`
	// Refused says why it must not be served, whatever the policy says.
	Refused string `json:"refused,omitempty"`
}

// GitUser is the part of the user's git settings that is told inside.
type GitUser struct {
	Name   string `json:"name,omitempty"`
	Email  string `json:"email,omitempty"`
	Branch string `json:"branch,omitempty"` // init.defaultBranch
}

// A Registry is where one kind of package comes from, as this user's own
// settings or the tool's own defaults say.
type Registry struct {
	Kind  string   `json:"kind"` // npm, go, pip, cargo, maven
	Hosts []string `json:"hosts"`
	From  string   `json:"from"`          // the file or program that named it
	Own   bool     `json:"own,omitempty"` // the user's own setting, not the tool's default: it may lie in a private network
	// Env and Files tell the tool inside of the same registry, without credentials.
	Env   map[string]string `json:"env,omitempty"`
	Files map[string]string `json:"files,omitempty"` // below HOME
}
