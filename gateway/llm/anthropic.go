package llm

import (
	"errors"
	"slices"
	"strings"
)

// anthropic judges a request of /v1/messages.
func (j *judge) anthropic(v value) error {
	o, err := j.object(v, "the request", "model", "max_tokens", "stream", "system", "messages", "tools", "mcp_servers", "container", "tool_choice", "models", "fallbacks")
	if err != nil {
		return err
	}
	if err := j.head(o, "max_tokens"); err != nil {
		return err
	}
	if err := j.none(o, "mcp_servers", "container"); err != nil {
		return err
	}
	if err := j.known(o, anthropicKeys); err != nil {
		return err
	}
	if err := list(o.get("tools"), "tools", j.anthropicTool); err != nil {
		return err
	}
	if err := j.anthropicContent(o.get("system"), 0); err != nil {
		return err
	}
	return list(o.get("messages"), "messages", func(v value) error {
		m, err := j.object(v, "a message", "role", "content")
		if err != nil {
			return err
		}
		return j.anthropicContent(m.get("content"), 0)
	})
}

// anthropicTool judges a tool: those that run inside pass, by the names of their kinds.
func (j *judge) anthropicTool(v value) error {
	o, err := j.object(v, "a tool", "type", "name", "model")
	if err != nil {
		return err
	}
	if m := o.get("model"); m != nil { // of a tool that asks another
		if err := j.model(m); err != nil {
			return err
		}
	}
	sort := "custom"
	if t := o.get("type"); t != nil {
		var ok bool
		if sort, ok = t.text(); !ok {
			return errors.New("the type of a tool is no text")
		}
	}
	name, _ := o.get("name").text()
	j.tool(name)
	inside := func(p string) bool { return strings.HasPrefix(sort, p) }
	if sort == "custom" || j.Fetch || slices.ContainsFunc([]string{"bash_", "text_editor_", "computer_", "memory_", "tool_search_tool_"}, inside) {
		return nil
	}
	return fetches("the tool %s runs at the provider", shortened(sort))
}

// anthropicContent judges a text or a list of blocks.
func (j *judge) anthropicContent(v value, depth int) error {
	if v == nil || v.is('"') {
		return nil
	}
	if depth > maxNested {
		return errors.New("content is nested too deeply")
	}
	return list(v, "content", func(v value) error { return j.anthropicBlock(v, depth) })
}

// anthropicPlain are blocks in which nothing is fetched: text, what was thought, calls of
// tools, and what tools of the provider told in earlier turns.
var anthropicPlain = []string{
	"text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "mcp_tool_use", "tool_reference", "compaction",
	"web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result", "bash_code_execution_tool_result",
	"text_editor_code_execution_tool_result", "tool_search_tool_result",
}

func (j *judge) anthropicBlock(v value, depth int) error {
	o, err := j.object(v, "a block", "type", "source", "content", "url", "file_id")
	if err != nil {
		return err
	}
	sort, err := kind(o, "a block")
	switch {
	case err != nil:
		return err
	case j.Fetch:
		return nil
	case sort == "image":
		return j.anthropicImage(o.get("source"))
	case sort == "document":
		return j.anthropicSource(o.get("source"), depth)
	case sort == "tool_result" || sort == "search_result" || sort == "mcp_tool_result":
		return j.anthropicContent(o.get("content"), depth+1)
	case slices.Contains(anthropicPlain, sort):
		return nil
	}
	return fetches("a block of the kind %s is unknown here, and may make the provider fetch", shortened(sort))
}

// anthropicImage judges the source of an image: only the image itself passes. Nothing in
// it is content, so that no byte is taken for one of an image twice.
func (j *judge) anthropicImage(v value) error {
	o, err := j.object(v, "a source", "type", "url", "file_id", "content", "data")
	if err != nil {
		return err
	}
	sort, err := kind(o, "a source")
	data := o.get("data")
	switch {
	case err != nil:
		return err
	case sort != "base64" || o.get("url") != nil || o.get("file_id") != nil || o.get("content") != nil:
		return fetches("a source of the kind %s is no image, or fetched by the provider", shortened(sort))
	case !data.is('"'):
		return errors.New("an image without its data")
	case !isData(data):
		return fetches("an image whose data are no base64 is fetched by the provider")
	}
	j.f.image(data)
	return nil
}

func (j *judge) anthropicSource(v value, depth int) error {
	o, err := j.object(v, "a source", "type", "url", "file_id", "content", "data")
	if err != nil {
		return err
	}
	sort, err := kind(o, "a source")
	switch {
	case err != nil:
		return err
	case o.get("url") != nil || o.get("file_id") != nil:
	case sort == "base64" && o.get("data") != nil && !isData(o.get("data")):
	case (sort == "base64" || sort == "text") && o.get("content") == nil:
		return nil
	case sort == "content":
		return j.anthropicContent(o.get("content"), depth+1)
	}
	return fetches("a source of the kind %s is fetched by the provider", shortened(sort))
}
