package rules

import (
	"slices"
	"strings"

	"github.com/belljar-dev/belljar/internal/glob"
)

// The verdicts about git directories. They are shared and never changed.
var (
	vGitFile      = Verdict{Kind: Hold, Class: GitConfig, Reason: "a .git file or link names another git directory, whose configuration git obeys"}
	vHeadOutside  = Verdict{Kind: Hold, Class: GitConfig, Reason: "a HEAD file can make a git directory of its folder, whose configuration git obeys"}
	vShape        = Verdict{Kind: Hold, Class: GitConfig, Reason: "the folder has a HEAD, this would complete a git directory or configure one"}
	vLink         = Verdict{Kind: Hold, Class: Symlink, Reason: "a link of this name gives its target a meaning on the host"}
	vGitLink      = Verdict{Kind: Hold, Class: Symlink, Reason: "a link inside a git directory leads git to files that are not judged as git's"}
	vHooks        = Verdict{Kind: Hold, Class: GitConfig, Reason: "git executes hooks"}
	vConfig       = Verdict{Kind: Hold, Class: GitConfig, Reason: "git obeys its configuration, which names programs to execute"}
	vRedirect     = Verdict{Kind: Hold, Class: GitConfig, Reason: "it leads git to another directory"}
	vTodo         = Verdict{Kind: Hold, Class: GitConfig, Reason: "git executes the steps of an operation that is under way"}
	vAttributes   = Verdict{Kind: Hold, Class: GitConfig, Reason: "attributes choose the programs that filter and show files"}
	vReplace      = Verdict{Kind: Hold, Class: GitConfig, Reason: "it makes git show other objects than the ones that were committed"}
	vUnknown      = Verdict{Kind: Hold, Class: GitConfig, Reason: "not a file that git is known to use as mere data"}
	vNotHere      = Verdict{Kind: Hold, Class: GitConfig, Reason: "the name could make a git directory where git has none"}
	vNewModule    = Verdict{Kind: Hold, Class: GitConfig, Reason: "a new submodule brings a git directory of its own"}
	vNewWorktree  = Verdict{Kind: Hold, Class: GitConfig, Reason: "a new linked work tree brings a git directory of its own"}
	vWorktreeHead = Verdict{Kind: Hold, Class: GitData, Reason: "without its HEAD the linked work tree is broken"}
	vHead         = Verdict{Class: GitData, LockOnly: true, Reason: "only git's lock file replaces it"}
	vIndex        = Verdict{Class: GitData, LockOnly: true, Reason: "only git's lock file replaces it, after its entries have been checked"}
	vData         = Verdict{Class: GitData}
	vFolder       = Verdict{Class: GitData, Lasting: true} // of the object store, references, logs
	vRef          = Verdict{Class: GitData, Guard: LockBeside, Reason: vRefReason}
	vLog          = Verdict{Class: GitData, Guard: LockOfRef, Reason: vRefReason}
	vLoose        = Verdict{Class: GitData, Lasting: true, Content: LooseObject, Reason: vObjectReason}
	vPack         = Verdict{Class: GitData, Lasting: true, Content: Pack, Reason: vObjectReason}
	vPackIndex    = Verdict{Class: GitData, Lasting: true, Content: PackIndex, Reason: vObjectReason}
	vPackMark     = Verdict{Class: GitData, Lasting: true, Reason: vObjectReason}
	vLargeFile    = Verdict{Class: GitData, Lasting: true, Content: LargeFile, Reason: vObjectReason}
	vCache        = Verdict{Kind: Hold, Class: GitData, Cache: true, Reason: "git makes it anew from its objects, and believes what it says"}
	vHookInData   = Verdict{Kind: Hold, Class: GitConfig, Reason: "git never makes a file of this name among its data; configuration could make a hook of it"}
	vPinned       = Verdict{Kind: Deny, Class: GitData, Reason: "removing or moving it destroys the git repository"}
)

const (
	vObjectReason = "objects are only added: the host keeps them"
	vRefReason    = "the host keeps it until git takes it away under its lock"
)

// IsDotGit says whether a name is .git to some file system, however it is spelled.
func IsDotGit(name string) bool { return isDotGit(glob.Fold(name)) }

// isDotGit says whether a folded name is .git to some file system: NTFS drops
// trailing dots and spaces, knows streams and short names.
func isDotGit(name string) bool {
	if len(name) < 4 || name[0] != '.' && name[0] != 'g' {
		return false
	}
	if name == ".git" {
		return true
	}
	base, _, _ := strings.Cut(name, ":")
	base = strings.TrimRight(base, ". ")
	return base == ".git" || base == "git~1"
}

// gitChild judges a folded name inside a git directory.
func gitChild(p place, name string, e Entry) (place, *Verdict) {
	if e == Fresh|Link {
		return held, &vGitLink
	}
	if isDotGit(name) {
		return held, &vNotHere
	}
	switch p {
	case gitDir, gitModule:
		return gitDirChild(p, name, e)
	case gitModules:
		if e&Fresh != 0 {
			return held, &vNewModule
		}
		return gitModule, nil
	case gitWorktrees:
		if e&Fresh != 0 {
			return held, &vNewWorktree
		}
		return gitWorktree, nil
	case gitWorktree:
		return worktreeChild(name, e)
	case gitInfo:
		return infoChild(name)
	case gitRefsTop, gitRefs, gitLogs:
		return refsChild(p, name, e)
	case gitLFS, gitLFSObjects:
		return lfsChild(p, name, e)
	}
	return objectsChild(p, name, e)
}

// gitDirChild is an allow-list: what is not known to be data is held.
func gitDirChild(p place, name string, e Entry) (place, *Verdict) {
	base := strings.TrimSuffix(name, ".lock")
	switch base {
	case "hooks":
		return held, &vHooks
	case "config", "config.worktree", "remotes", "branches":
		return held, &vConfig
	case "commondir", "gitdir":
		return held, &vRedirect
	case "rebase-merge", "rebase-apply", "sequencer", "merge_rr", "rr-cache":
		return held, &vTodo
	}
	if e.kind() != File {
		if q, ok := gitFolders[name]; ok {
			return q, &vFolder
		}
	}
	if v := gitFile(name); v != nil && e.kind() != Dir {
		return gitData, v
	}
	if p == gitModule && e == Dir {
		return gitModule, nil // part of the name of a submodule
	}
	return held, &vUnknown
}

// gitFolders are the folders of a git directory that are not held.
var gitFolders = map[string]place{
	"objects": gitObjects, "refs": gitRefsTop, "logs": gitLogs, "info": gitInfo,
	"modules": gitModules, "worktrees": gitWorktrees, "lfs": gitLFS,
}

// gitFile is the verdict of a file of a git directory or a linked work tree's
// that is data, nil for every other one.
func gitFile(name string) *Verdict {
	switch name {
	case "head":
		return &vHead
	case "index", "packed-refs":
		return &vIndex
	case "shallow":
		return &vRef // without it the host would miss what it never had
	case "packed-refs.new", "description", "merge_mode", "merge_msg", "squash_msg",
		"auto_merge", "merge_autostash", "gc.pid", "gc.log":
		return &vData
	}
	base := strings.TrimSuffix(name, ".lock")
	switch {
	case base != name && (base == "head" || base == "index" || base == "packed-refs"):
		return &vData
	case strings.HasPrefix(name, "bisect_"):
		return nil
	case strings.HasSuffix(base, "_head"), strings.HasSuffix(base, "_editmsg"), base == "shallow",
		base == "merge_autostash", base == "gc.pid", base == "gc.log":
		return &vData
	case strings.HasPrefix(name, "sharedindex."):
		return &vIndex
	case strings.HasPrefix(name, "sharedindex_"), strings.HasPrefix(name, "index."), strings.HasPrefix(name, "next-index-"),
		strings.HasPrefix(name, "shallow_"):
		return &vData
	}
	return nil
}

func worktreeChild(name string, e Entry) (place, *Verdict) {
	if e.kind() != File && name == "refs" {
		return gitRefs, &vFolder
	}
	if e.kind() != File && name == "logs" {
		return gitLogs, &vFolder
	}
	if v := gitFile(name); v != nil && e.kind() != Dir {
		return gitData, v
	}
	switch strings.TrimSuffix(name, ".lock") {
	case "commondir", "gitdir":
		return held, &vRedirect
	case "config.worktree", "config":
		return held, &vConfig
	case "rebase-merge", "rebase-apply", "sequencer":
		return held, &vTodo
	}
	return held, &vUnknown
}

func infoChild(name string) (place, *Verdict) {
	switch strings.TrimSuffix(name, ".lock") {
	case "exclude", "sparse-checkout", "refs", "packs":
		return gitInfo, &vData
	case "attributes":
		return held, &vAttributes
	case "grafts":
		return held, &vReplace
	}
	return held, &vUnknown
}

// refsChild lets names pass but those that, with the HEAD that a remote's refs
// and the logs have, would make a git directory.
func refsChild(p place, name string, e Entry) (place, *Verdict) {
	next := p
	if p == gitRefsTop {
		next = gitRefs
	}
	switch {
	case p == gitRefsTop && name == "replace":
		return held, &vReplace
	case name == "objects", name == "commondir":
		return held, &vNotHere
	case e.kind() == Dir:
		return next, &vFolder
	case strings.HasSuffix(name, ".lock"):
		return next, &vData
	case p == gitLogs:
		return next, &vLog
	}
	return next, &vRef
}

// objectsChild judges the object store. It is only ever added to: what has the name
// of an object is the host's for good, what git could make anew never gets there.
func objectsChild(p place, name string, e Entry) (place, *Verdict) {
	base, locked := strings.CutSuffix(name, ".lock")
	switch base {
	case "head", "commondir":
		return held, &vNotHere
	case "alternates", "http-alternates":
		if p == gitObjInfo {
			return held, &vRedirect
		}
	}
	if isHookName(name) {
		return held, &vHookInData
	}
	if locked {
		return gitData, &vData
	}
	switch p {
	case gitObjects:
		switch {
		case e.kind() == File, e.kind() == Link:
		case name == "info":
			return gitObjInfo, &vFolder
		case name == "pack":
			return gitPack, &vFolder
		case len(name) == 2 && isHex(name):
			return gitLoose, &vFolder
		}
	case gitLoose:
		if (len(name) == 38 || len(name) == 62) && isHex(name) {
			return gitData, &vLoose
		}
	case gitPack:
		return packChild(name)
	case gitObjInfo:
		if name == "packs" || strings.HasPrefix(name, "commit-graph") {
			return held, &vCache
		}
	}
	return gitData, &vData
}

func packChild(name string) (place, *Verdict) {
	if strings.HasPrefix(name, "multi-pack-index") {
		return held, &vCache
	}
	base, ok := strings.CutPrefix(name, "pack-")
	if !ok {
		return gitData, &vData
	}
	hash, suffix, _ := strings.Cut(base, ".")
	if (len(hash) != 40 && len(hash) != 64) || !isHex(hash) {
		return gitData, &vData
	}
	switch suffix {
	case "pack":
		return gitData, &vPack
	case "idx":
		return gitData, &vPackIndex
	case "keep", "mtimes", "promisor":
		return gitData, &vPackMark
	case "rev", "bitmap":
		return held, &vCache
	}
	return gitData, &vData
}

// lfsChild judges what git-lfs keeps: contents by their sum, and unfinished work.
func lfsChild(p place, name string, e Entry) (place, *Verdict) {
	switch base := strings.TrimSuffix(name, ".lock"); {
	case base == "head", base == "commondir":
		return held, &vNotHere
	case base == "hooks", isHookName(name):
		return held, &vHookInData
	case p == gitLFS && name == "objects" && e.kind() != File:
		return gitLFSObjects, &vFolder
	case p == gitLFS:
		return gitData, &vData
	case e.kind() == Dir:
		return gitLFSObjects, &vFolder
	case len(name) == 64 && isHex(name):
		return gitLFSObjects, &vLargeFile
	}
	return gitLFSObjects, &vData
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// isHookName says whether git executes a file of this name where its configuration
// tells it to look for hooks.
func isHookName(name string) bool {
	if name == "" {
		return false
	}
	switch name[0] { // the first letters of all of them: objects have none of those names
	case 'a', 'c', 'f', 'p', 'r', 's', 'u':
		return slices.Contains(hookNames, name)
	}
	return false
}
