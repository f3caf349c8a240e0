package devcontainer

// A Config is what a sandbox takes from a devcontainer.json.
type Config struct {
	File string `json:"file"` // relative to the project
	Name string `json:"name,omitempty"`
	// Env are variables to set inside, by name: containerEnv, then remoteEnv.
	Env map[string]string `json:"env,omitempty"`
	// Ports are those to publish, ascending.
	Ports []uint16 `json:"ports,omitempty"`
	// Steps run inside, in this order, before the command.
	Steps []Step `json:"steps,omitempty"`
	// Needs is what the host, and so the sandbox's limits, must have.
	Needs Needs `json:"needs,omitzero"`
	// Notes say what of the file is not honoured, one sentence each, and why.
	Notes []string `json:"notes,omitempty"`
}

// A Step is one lifecycle command.
type Step struct {
	Key string `json:"key"` // postCreateCommand
	// Each says that it runs in every sandbox; otherwise once for a HOME that is kept.
	Each bool `json:"each,omitempty"`
	// Argv is what runs; the words of a shell line are those of /bin/sh -c.
	Argv []string `json:"argv"`
}

// Needs are hostRequirements; zero asks for nothing.
type Needs struct {
	CPUs    int   `json:"cpus,omitempty"`
	Memory  int64 `json:"memory,omitempty"`  // bytes
	Storage int64 `json:"storage,omitempty"` // bytes
}

// Options say where a file is read.
type Options struct {
	// Workspace is the project's folder, outside and inside the same.
	Workspace string
	// Env is a variable of the caller's that a sandbox may have; nil: there are none.
	Env func(name string) (string, bool)
	// Inside is a variable as it is inside without the file; nil: there are none.
	Inside func(name string) (string, bool)
}
