package policy

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/invopop/jsonschema"
)

// What follows has the shape of a policy file for the sake of its JSON schema; the
// decoder reads the syntax tree itself, and a test holds both to the same keys.
type (
	schemaFile struct {
		Version   int             `json:"version" jsonschema:"enum=1"`
		Extends   []string        `json:"extends,omitempty"`
		Tier      string          `json:"tier,omitempty" jsonschema:"pattern=^[a-z][a-z0-9-]*$"`
		Workspace schemaWorkspace `json:"workspace,omitempty"`
		Files     schemaFiles     `json:"files,omitempty"`
		Network   schemaNetwork   `json:"network,omitempty"`
		Git       schemaGit       `json:"git,omitempty"`
		LLM       []schemaLLM     `json:"llm,omitempty"`
		Limits    schemaLimits    `json:"limits,omitempty"`
		Env       schemaEnv       `json:"env,omitempty"`

		Credentials []schemaCredential `json:"credentials,omitempty"`
		Setup       schemaSetup        `json:"setup,omitempty"`
		Commands    schemaCommands     `json:"commands,omitempty"`
		OTLP        schemaOTLP         `json:"otlp,omitempty"`
		Records     size               `json:"records,omitempty"`
		Notify      schemaNotify       `json:"notify,omitempty"`
	}
	schemaNotify        struct{}
	schemaNotifyMapping struct {
		Desktop bool          `json:"desktop,omitempty" jsonschema:"description=By org.freedesktop.Notifications on the session's bus"`
		Bell    bool          `json:"bell,omitempty" jsonschema:"description=Of a terminal that shows the run"`
		Webhook schemaWebhook `json:"webhook,omitempty"`
		On      []string      `json:"on,omitempty" jsonschema:"enum=end,enum=waits,description=What is told; both without it"`
	}
	schemaWebhook        struct{}
	schemaWebhookMapping struct {
		URL     string `json:"url" jsonschema:"pattern=^https?://"`
		Headers string `json:"headers,omitempty" jsonschema:"description=A file with the headers of requests; one Name: value a line"`
	}
	schemaOTLP        struct{}
	schemaOTLPMapping struct {
		Endpoint string `json:"endpoint" jsonschema:"pattern=^https?://,description=The base URL: /v1/logs and /v1/traces are below it"`
		Headers  string `json:"headers,omitempty" jsonschema:"description=A file with the headers of requests; one Name: value a line"`
	}
	schemaSetup struct {
		Run   []string   `json:"run,omitempty"`
		Allow []hostRule `json:"allow,omitempty"`
	}
	schemaCommands struct {
		Allow   []commandRule  `json:"allow,omitempty"`
		Ask     []commandRule  `json:"ask,omitempty"`
		Deny    []commandRule  `json:"deny,omitempty"`
		Context commandContext `json:"context,omitempty"`
	}
	commandRule        struct{}
	commandContext     struct{}
	commandRuleMapping struct {
		Pattern  string   `json:"pattern" jsonschema:"description=Words; a word * stands for any number of words"`
		Reason   string   `json:"reason,omitempty" jsonschema:"maxLength=200,description=What people and agents are told"`
		Match    []string `json:"match,omitempty" jsonschema:"maxItems=32,description=Lines that the pattern must match; checked when the file is read"`
		NotMatch []string `json:"not_match,omitempty" jsonschema:"maxItems=32,description=Lines that it must not match"`
	}
	commandContextMapping struct {
		Dir      string   `json:"dir,omitempty" jsonschema:"pattern=^/,description=The working folder; the top of the project"`
		Home     string   `json:"home,omitempty" jsonschema:"pattern=^/"`
		Writable []string `json:"writable,omitempty" jsonschema:"description=Folders that may be written"`
		Programs []string `json:"programs,omitempty" jsonschema:"description=Folders whose programs are what their names say"`
	}
	schemaWorkspace struct {
		Mode string   `json:"mode,omitempty" jsonschema:"enum=live,enum=worktree,enum=review,enum=readonly"`
		Pass []string `json:"pass,omitempty"`
	}
	schemaFiles struct {
		Read  []string `json:"read,omitempty"`
		Write []string `json:"write,omitempty"`
		Hide  []string `json:"hide,omitempty"`
		Hold  []string `json:"hold,omitempty"`
	}
	schemaNetwork struct {
		Registries []string   `json:"registries,omitempty"`
		Allow      []hostRule `json:"allow,omitempty"`
		Publish    []port     `json:"publish,omitempty"`
	}
	schemaGit struct {
		Fetch []repoRule   `json:"fetch,omitempty"`
		Push  []schemaPush `json:"push,omitempty"`
		Sign  string       `json:"sign,omitempty" jsonschema:"enum=ssh,enum=none"`
	}
	schemaPush struct {
		Repo    string   `json:"repo" jsonschema:"description=HOST/PATH; * within one part and ** across them"`
		Refs    []string `json:"refs" jsonschema:"maxItems=64,description=refs/heads/agent/* and the like; none: no push to that host"`
		Private bool     `json:"private,omitempty" jsonschema:"description=The host may resolve to addresses of private networks"`
	}
	repoRule    struct{}
	repoMapping struct {
		Repo    string `json:"repo" jsonschema:"description=HOST/PATH; * within one part and ** across them"`
		Private bool   `json:"private,omitempty" jsonschema:"description=The host may resolve to addresses of private networks"`
	}
	schemaLLM struct {
		Host     string     `json:"host" jsonschema:"description=host or host:port; 443 without a port"`
		API      string     `json:"api" jsonschema:"enum=anthropic,enum=openai,enum=gemini"`
		Models   []string   `json:"models,omitempty" jsonschema:"minItems=1,maxItems=64,description=Names of models; * stands for any characters"`
		Tokens   tokenCount `json:"tokens,omitempty"`
		Requests int        `json:"requests,omitempty" jsonschema:"minimum=1"`
		Fetch    string     `json:"fetch,omitempty" jsonschema:"enum=deny,enum=allow,description=Whether the provider may fetch URLs and files and run its own tools; deny"`
		Steer    bool       `json:"steer,omitempty" jsonschema:"description=Tell the model when nine tenths of a budget are spent"`
		Endpoint bool       `json:"endpoint,omitempty" jsonschema:"description=Answer at http://llm.belljar/API as well and set the variable for it"`
	}
	schemaLimits struct {
		Memory    size       `json:"memory,omitempty"`
		CPUs      number     `json:"cpus,omitempty"`
		Processes number     `json:"processes,omitempty"`
		Disk      size       `json:"disk,omitempty"`
		Time      duration   `json:"time,omitempty"`
		Files     number     `json:"files,omitempty"`
		Log       size       `json:"log,omitempty"`
		Tokens    tokenCount `json:"tokens,omitempty"`
	}
	schemaEnv struct {
		Pass []string          `json:"pass,omitempty"`
		Set  map[string]string `json:"set,omitempty"`
	}
	schemaCredential struct {
		Name     string       `json:"name" jsonschema:"pattern=^[A-Za-z_][A-Za-z0-9_]*$,description=The variable that holds a stand-in inside"`
		From     schemaSource `json:"from,omitempty"`
		Hosts    []string     `json:"hosts,omitempty" jsonschema:"minItems=1,maxItems=64,description=host or host:port; 443 without a port"`
		Methods  []string     `json:"methods,omitempty" jsonschema:"minItems=1,maxItems=32,description=Elsewhere the stand-in is not replaced"`
		Paths    []string     `json:"paths,omitempty" jsonschema:"minItems=1,maxItems=64,description=Elsewhere the stand-in is not replaced"`
		Programs []string     `json:"programs,omitempty" jsonschema:"minItems=1,maxItems=16,description=The only programs that are given it: paths from /"`
		Header   string       `json:"header,omitempty" jsonschema:"description=bearer or basic or the name of a header"`
		User     string       `json:"user,omitempty" jsonschema:"description=Of basic authentication"`
	}
	schemaSource struct {
		Env     string   `json:"env,omitempty" jsonschema:"description=A variable of the caller"`
		File    string   `json:"file,omitempty" jsonschema:"description=Its content without the last newline"`
		Command []string `json:"command,omitempty" jsonschema:"minItems=1,maxItems=64,description=What it prints without the last newline; no shell"`
		Login   string   `json:"login,omitempty" jsonschema:"description=The access token of the login that this agent's own program keeps: claude or codex"`
	}
	hostRule    struct{}
	ruleMapping struct {
		Host    string `json:"host,omitempty" jsonschema:"description=A name or *. and a name or localhost"`
		CIDR    string `json:"cidr,omitempty" jsonschema:"description=An address or a range of addresses"`
		Ports   []port `json:"ports,omitempty" jsonschema:"minItems=1,maxItems=256,description=443 when none is named"`
		Private bool   `json:"private,omitempty" jsonschema:"description=The name may resolve to addresses of private networks"`

		Methods []string `json:"methods,omitempty" jsonschema:"minItems=1,maxItems=32,description=Of a host: the methods allowed; GET allows HEAD"`
		Paths   []string `json:"paths,omitempty" jsonschema:"minItems=1,maxItems=64,description=Of a host: patterns of the paths allowed; * within one part and ** across them"`

		Query    map[string]valuePatterns `json:"query,omitempty" jsonschema:"description=Of a host: the parameters that a query may have; {} for none"`
		Headers  map[string]valuePatterns `json:"headers,omitempty" jsonschema:"description=Of a host: what request headers hold; a missing one is an empty one"`
		Rate     string                   `json:"rate,omitempty" jsonschema:"pattern=^[1-9][0-9]*/([1-9][0-9]*)?[smhd]$,description=Of a host: how many requests the rule allows: 60/m"`
		Response size                     `json:"response,omitempty" jsonschema:"description=Of a host: the most bytes of one answer"`

		Ask bool `json:"ask,omitempty" jsonschema:"description=It waits until somebody outside allows it: belljar approve"`
	}
	valuePatterns struct{}

	port       int
	size       string
	duration   string
	number     string
	tokenCount string
)

// JSONSchema says that a rule is a word or a mapping.
func (hostRule) JSONSchema() *jsonschema.Schema {
	m := reflector().Reflect(ruleMapping{})
	m.Version = ""
	host, cidr := &jsonschema.Schema{Required: []string{"host"}}, &jsonschema.Schema{Required: []string{"cidr"}}
	m.OneOf = []*jsonschema.Schema{host, cidr}
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		{Type: "string", Description: "host, host:port, address or address:port"}, m,
	}}
}

// JSONSchema says that a rule for commands is a pattern or a mapping.
func (commandRule) JSONSchema() *jsonschema.Schema {
	m := reflector().Reflect(commandRuleMapping{})
	m.Version = ""
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string", Description: "words; a word * stands for any number of words"}, m}}
}

// JSONSchema says what a context is.
func (commandContext) JSONSchema() *jsonschema.Schema {
	m := reflector().Reflect(commandContextMapping{})
	m.Version = ""
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{m}}
}

// JSONSchema implements jsonschema's interface.
func (schemaOTLP) JSONSchema() *jsonschema.Schema {
	m := reflector().Reflect(schemaOTLPMapping{})
	m.Version = ""
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{m}}
}

// JSONSchema implements jsonschema's interface.
func (schemaNotify) JSONSchema() *jsonschema.Schema {
	m := reflector().Reflect(schemaNotifyMapping{})
	m.Version = ""
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{m}}
}

// JSONSchema implements jsonschema's interface.
func (schemaWebhook) JSONSchema() *jsonschema.Schema {
	m := reflector().Reflect(schemaWebhookMapping{})
	m.Version = ""
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{m}}
}

// JSONSchema says that a repository is a word or a mapping.
func (repoRule) JSONSchema() *jsonschema.Schema {
	m := reflector().Reflect(repoMapping{})
	m.Version = ""
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		{Type: "string", Description: "HOST/PATH or HOST:PORT/PATH"}, m,
	}}
}

// JSONSchema says that a value matches a pattern or one of a list.
func (valuePatterns) JSONSchema() *jsonschema.Schema {
	one, least, most := &jsonschema.Schema{Type: "string", Description: "* stands for any characters"}, uint64(1), uint64(maxValues)
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{one, {Type: "array", Items: one, MinItems: &least, MaxItems: &most}}}
}

// JSONSchema says what a port is.
func (port) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Minimum: "1", Maximum: "65535"}
}

// JSONSchema says how a size is written.
func (size) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^[0-9]+(\.[0-9]+)?(KiB|MiB|GiB|TiB)$`}
}

// JSONSchema says how a time is written.
func (duration) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(s|m|h))+$`}
}

// JSONSchema says that a number may be written with quotes.
func (number) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "number"}, {Type: "string", Pattern: `^[0-9]+(\.[0-9]+)?$`}}}
}

// JSONSchema says how a number of tokens is written.
func (tokenCount) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "integer", Minimum: "1"}, {Type: "string", Pattern: `^(unlimited|[0-9]+(\.[0-9]+)?[kMG]?)$`}}}
}

func reflector() *jsonschema.Reflector {
	return &jsonschema.Reflector{DoNotReference: true, Anonymous: true, ExpandedStruct: true}
}

// Schema is the JSON schema of a policy file, for editors. It accepts everything
// that [Load] accepts; Load refuses more (impossible patterns, reserved addresses).
func Schema() ([]byte, error) {
	s := reflector().Reflect(schemaFile{})
	s.Title = "belljar policy"
	s.Description = "What an AI agent may do under belljar."
	for _, k := range keys() {
		if err := describe(s, k); err != nil {
			return nil, err
		}
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("render schema: %w", err)
	}
	return append(b, '\n'), nil
}

// describe puts the table's words into the schema.
func describe(s *jsonschema.Schema, k key) error {
	at := s
	for name := range strings.SplitSeq(k.Name, ".") {
		next, ok := at.Properties.Get(name)
		if !ok {
			return fmt.Errorf("render schema: no property %q", k.Name)
		}
		at = next
	}
	at.Description = k.Doc + " Default: " + k.Default + "."
	switch k.Name {
	case "extends":
		at.Items.Enum = words(presetNames())
	case "network.registries":
		at.Items.Enum = words(registryKinds())
	}
	return nil
}

func words(l []string) []any {
	a := make([]any, len(l))
	for i, s := range l {
		a[i] = s
	}
	return a
}
