package llm

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// openAI judges a request by what is called.
func (j *judge) openAI(v value) error {
	if j.Socket {
		if err := j.socketMessage(v); err != nil {
			return err
		}
	}
	o, err := j.object(v, "the request", "model", "models", "stream", "max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of",
		"messages", "input", "instructions", "prompt", "tools", "web_search_options", "background", "plugins", "conversation", "previous_response_id", "fallbacks")
	if err != nil {
		return err
	}
	if err := j.head(o, "max_tokens", "max_completion_tokens", "max_output_tokens"); err != nil {
		return err
	}
	if err := j.choices(o, "n", "best_of"); err != nil {
		return err
	}
	if v := o.get("background"); v != nil && !v.is('f') {
		return errors.New("a response in the background: what it uses cannot be counted")
	}
	for _, m := range j.f.Models {
		if !j.Fetch && searches(m) {
			return fetches("the model %s searches at the provider", shortened(m))
		}
	}
	if err := j.none(o, "web_search_options", "plugins"); err != nil {
		return err
	}
	if err := j.known(o, openAIKeys); err != nil {
		return err
	}
	if err := list(o.get("tools"), "tools", func(v value) error { return j.openAITool(v, 0) }); err != nil {
		return err
	}
	switch j.Call {
	case "completions":
		return j.prompts(o.get("prompt"))
	case "responses":
		return j.responses(o)
	case "chat":
		return list(o.get("messages"), "messages", func(v value) error {
			m, err := j.object(v, "a message", "role", "content")
			if err != nil {
				return err
			}
			return j.parts(m.get("content"))
		})
	}
	return nil // embeddings take text only
}

// prompts counts those of a completion: each is answered as often as is asked for. One is
// a text or a list of tokens.
func (j *judge) prompts(v value) error {
	if !v.is('[') {
		return nil
	}
	var n int64
	err := v.each(func(v value) error {
		if _, token := v.count(); token {
			return nil
		}
		if !v.is('"') && !v.is('[') {
			return errors.New("prompt is no list of texts or tokens")
		}
		n++
		return nil
	})
	j.f.Choices *= max(1, n)
	return err
}

// searches says whether a model fetches by itself, by what names are known.
func searches(model string) bool {
	model = strings.ToLower(model)
	_, last, ok := strings.Cut(model, "/")
	if !ok {
		last = model
	}
	return strings.Contains(model, ":online") || strings.Contains(model, "-search-") || strings.HasSuffix(model, "-search") || strings.Contains(model, "deep-research") ||
		strings.HasPrefix(last, "sonar") || strings.HasPrefix(last, "compound") // of Perplexity and Groq
}

// socketMessage judges what a message of a WebSocket is: a response is asked for, in the
// words of the request for one.
func (j *judge) socketMessage(v value) error {
	o, err := j.object(v, "the message", "type", "response")
	if err != nil {
		return err
	}
	sort, _ := o.get("type").text()
	if sort != "response.create" || o.get("response") != nil {
		return fmt.Errorf("the message %s is not one that asks for a response", shortened(sort))
	}
	return nil
}

// responses judges what is particular to a response.
func (j *judge) responses(o object) error {
	if err := j.none(o, "prompt"); err != nil {
		return err
	}
	v := o.get("input")
	if v == nil || v.is('"') {
		return nil
	}
	return list(v, "input", j.item)
}

// openAITool judges a tool. What is searched without going out passes: that is the
// provider's own index.
func (j *judge) openAITool(v value, depth int) error {
	o, err := j.object(v, "a tool", "type", "name", "tools", "external_web_access", "environment", "function")
	if err != nil {
		return err
	}
	sort, err := kind(o, "a tool")
	if err != nil {
		return err
	}
	name, ok := o.get("name").text()
	if !ok {
		name = sort
	}
	j.tool(name)
	switch sort {
	case "function", "custom", "local_shell", "apply_patch", "computer_use_preview", "computer", "tool_search":
		return nil
	case "namespace":
		if depth > maxNested {
			return errors.New("tools are nested too deeply")
		}
		return list(o.get("tools"), "tools", func(v value) error { return j.openAITool(v, depth+1) })
	case "shell":
		if e, err := j.object(o.get("environment"), "the environment of a tool", "type"); err == nil {
			if where, _ := e.get("type").text(); where == "local" {
				return nil
			}
		}
	case "web_search":
		if string(o.get("external_web_access")) == "false" {
			return nil
		}
	}
	if j.Fetch {
		return nil
	}
	return fetches("the tool %s runs at the provider", shortened(sort))
}

// openAIPlain are items in which nothing is fetched: what was thought and called in
// earlier turns, and references to items that were judged then.
var openAIPlain = []string{
	"reasoning", "function_call", "custom_tool_call", "local_shell_call", "shell_call", "apply_patch_call", "computer_call", "web_search_call",
	"file_search_call", "code_interpreter_call", "image_generation_call", "mcp_call", "mcp_list_tools", "item_reference", "compaction",
	"compaction_summary", "compaction_trigger", "tool_search_call", "local_shell_call_output", "shell_call_output", "apply_patch_call_output", "ghost_snapshot",
}

// item judges an item of a response's input.
func (j *judge) item(v value) error {
	o, err := j.object(v, "an item", "type", "role", "content", "output", "tools")
	if err != nil {
		return err
	}
	sort := "message"
	if t := o.get("type"); t != nil {
		var ok bool
		if sort, ok = t.text(); !ok {
			return errors.New("the type of an item is no text")
		}
	}
	tools := func(v value) error { return j.openAITool(v, 0) }
	switch {
	case sort == "message":
		return j.parts(o.get("content"))
	case sort == "function_call_output" || sort == "custom_tool_call_output":
		return j.parts(o.get("output"))
	case sort == "computer_call_output":
		return j.part(o.get("output"))
	case sort == "additional_tools" || sort == "tool_search_output":
		return list(o.get("tools"), "tools", tools)
	case j.Fetch || slices.Contains(openAIPlain, sort):
		return nil
	}
	return fetches("an item of the kind %s is unknown here, and may make the provider fetch", shortened(sort))
}

// parts judges a text or a list of parts.
func (j *judge) parts(v value) error {
	if v == nil || v.is('"') {
		return nil
	}
	return list(v, "content", j.part)
}

// part judges a part of a message.
func (j *judge) part(v value) error {
	o, err := j.object(v, "a part", "type", "image_url", "url", "file", "file_url", "file_id", "file_data", "input_audio")
	if err != nil {
		return err
	}
	sort, err := kind(o, "a part")
	switch {
	case err != nil:
		return err
	case j.Fetch:
		return nil
	case !slices.Contains(openAIParts, sort):
		return fetches("a part of the kind %s is unknown here, and may make the provider fetch", shortened(sort))
	}
	if err := j.bytesOnly(o, sort); err != nil {
		return err
	}
	for _, key := range []string{"file", "input_audio"} {
		inner := o.get(key)
		if inner == nil {
			continue
		}
		f, err := j.object(inner, key, "file_id", "file_url", "file_data", "data", "url")
		if err != nil {
			return err
		}
		if err := j.bytesOnly(f, key); err != nil {
			return err
		}
	}
	image := o.get("image_url")
	if image != nil || sort == "image_url" || sort == "input_image" || sort == "computer_screenshot" {
		return j.image(image)
	}
	return nil
}

// openAIParts are the known kinds of parts. Whatever its kind, nothing in a part is
// fetched.
var openAIParts = []string{
	"text", "input_text", "output_text", "summary_text", "reasoning_text", "refusal", "input_audio", "encrypted_content",
	"image_url", "input_image", "computer_screenshot", "input_file", "file",
}

// bytesOnly refuses what is not the bytes of a file themselves: an address or a name of
// one, also where the bytes should be.
func (j *judge) bytesOnly(o object, what string) error {
	if o.get("file_url", "url") != nil || o.get("file_id") != nil {
		return fetches("a %s is fetched by the provider", shortened(what))
	}
	for _, v := range []value{o.get("file_data"), o.get("data")} {
		if v != nil && !isData(v) {
			return fetches("a %s whose data are no data: URL and no base64 is fetched by the provider", shortened(what))
		}
	}
	return nil
}

// isData says whether a value is a data: URL or base64.
func isData(v value) bool {
	if !v.is('"') {
		return false
	}
	in := []byte(v[1 : len(v)-1])
	if bytes.HasPrefix(in, []byte("data:")) {
		return true
	}
	for _, c := range in { // an escape stands for a slash or the end of a line
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(`+/-_=\`, c) >= 0) {
			return false
		}
	}
	return !bytes.Contains(in, []byte(`\u`))
}

// image judges the place of an image: only the image itself passes.
func (j *judge) image(v value) error {
	if v.is('{') {
		o, err := j.object(v, "an image", "url", "file_id")
		if err != nil {
			return err
		}
		if err := j.none(o, "file_id"); err != nil {
			return err
		}
		v = o.get("url")
	}
	s, ok := v.text()
	switch {
	case !ok:
		return errors.New("an image without its url")
	case !strings.HasPrefix(s, "data:"):
		return fetches("an image is fetched by the provider")
	}
	if strings.HasPrefix(s, "data:image/") {
		j.f.image(v)
	}
	return nil
}
