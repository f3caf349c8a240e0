// Package devcontainer reads a project's devcontainer.json and says what of it can be
// honoured in a sandbox: variables, ports, commands that run inside, and what the host must
// have. It runs nothing, opens nothing but the file, and never asks a container engine.
//
//	file, err := devcontainer.Find(workspace)
//	c, err := devcontainer.Read(file, devcontainer.Options{Workspace: workspace, …})
//
// The file comes from a repository that nobody has read. What would act on the host is
// refused ([Read] names every such key at once); what has no meaning without a container is
// listed in [Config.Notes]. A variable of the caller's is substituted only where
// [Options.Env] gives it away.
//
// Source: the Development Container Specification, "devcontainer.json reference"
// (containers.dev/implementors/json_reference).
//
// # Limitations
//
// One container: no Compose. Images, Dockerfiles and features are not built, for the
// programs inside are the host's. ${devcontainerId} has no value.
package devcontainer
