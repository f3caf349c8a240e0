package devcontainer

// What becomes of a key of the file. The table is the specification's, whole; what is not in
// it is said to be unknown.

// refused are the keys that act on the host or weaken what holds the sandbox.
func refused() map[string]string {
	return map[string]string{
		"initializeCommand": "it would run on this host",
		"runArgs":           "they are options of a container engine, which may take any protection away",
		"privileged":        "it takes all protection away",
		"capAdd":            "no capabilities are added",
		"securityOpt":       "protections are not switched off",
		"dockerComposeFile": "a sandbox is one set of processes, without a container engine",
	}
}

// unheard are the keys without a meaning here.
func unheard() map[string]string {
	const (
		noImage = "programs inside are this host's; nothing is built or downloaded"
		place   = "the project has the same path inside as outside"
		editor  = "it is for an editor"
	)
	return map[string]string{
		"image": noImage, "build": noImage, "dockerFile": noImage, "context": noImage, "features": noImage, "overrideFeatureInstallOrder": noImage,
		"workspaceFolder": place, "workspaceMount": place,
		"containerUser": "inside is the caller's own user", "remoteUser": "inside is the caller's own user",
		"mounts":            "folders are shown by --read and --write",
		"postAttachCommand": "nothing attaches to a run in the foreground",
		"secrets":           "a credential is set up by --credential or in the policy, and never given to the sandbox",
		"customizations":    editor, "portsAttributes": editor, "otherPortsAttributes": editor,
		"waitFor": "the command waits for all of them",
	}
}

// idle are the keys that ask for what is so anyway, or for nothing.
func idle() []string {
	return []string{"$schema", "name", "init", "overrideCommand", "shutdownAction", "updateRemoteUserUID", "userEnvProbe", "service", "runServices"}
}
