package view

// The words of [belljar.FileEvent]. Verdicts are those of package rules.
const (
	verdictPass = "pass"
	verdictHold = "hold"
	verdictDeny = "deny"

	opWrite   = "write"
	opCreate  = "create"
	opMkdir   = "mkdir"
	opRemove  = "remove"
	opRename  = "rename"
	opLink    = "link"
	opSymlink = "symlink"
	opChmod   = "chmod"
)
