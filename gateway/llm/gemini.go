package llm

import (
	"errors"
	"slices"
)

// gemini judges a request of generateContent and its kin. Its servers read both
// spellings of a key, system_instruction and systemInstruction.
func (j *judge) gemini(v value) error { return j.geminiRequest(v, 0) }

func (j *judge) geminiRequest(v value, depth int) error {
	o, err := j.object(v, "the request", "model", "contents", "content", "requests", "tools", "systemInstruction", "system_instruction", "generationConfig",
		"generation_config", "cachedContent", "cached_content", "generateContentRequest", "generate_content_request")
	if err != nil {
		return err
	}
	if depth > 1 {
		return errors.New("requests are nested too deeply")
	}
	if m := o.get("model"); m != nil {
		if s, ok := m.text(); !ok || s != j.Model && s != "models/"+j.Model {
			return errors.New("the body names another model than the path")
		}
	}
	if err := j.none(o, "cachedContent", "cached_content"); err != nil {
		return err
	}
	if err := j.known(o, geminiKeys); err != nil {
		return err
	}
	inner := func(v value) error { return j.geminiRequest(v, depth+1) }
	if err := list(o.get("requests"), "requests", inner); err != nil {
		return err
	}
	if r := o.get("generateContentRequest", "generate_content_request"); r != nil {
		if err := inner(r); err != nil {
			return err
		}
	}
	if err := list(o.get("tools"), "tools", j.geminiTool); err != nil {
		return err
	}
	if err := j.geminiConfig(o.get("generationConfig", "generation_config")); err != nil {
		return err
	}
	for _, c := range []value{o.get("systemInstruction", "system_instruction"), o.get("content")} {
		if c != nil {
			if err := j.geminiContent(c); err != nil {
				return err
			}
		}
	}
	c := o.get("contents")
	if c.is('{') {
		return j.geminiContent(c)
	}
	return list(c, "contents", j.geminiContent)
}

func (j *judge) geminiConfig(v value) error {
	if v == nil {
		return nil
	}
	o, err := j.object(v, "generationConfig", "maxOutputTokens", "max_output_tokens", "candidateCount", "candidate_count")
	if err != nil {
		return err
	}
	if err := j.head(o, "maxOutputTokens", "max_output_tokens"); err != nil {
		return err
	}
	return j.choices(o, "candidateCount", "candidate_count")
}

// geminiTool judges a tool: each key of it is one.
func (j *judge) geminiTool(v value) error {
	o, err := j.object(v, "a tool", "functionDeclarations", "function_declarations", "computerUse", "computer_use")
	if err != nil {
		return err
	}
	for _, f := range o {
		if f.key == "functionDeclarations" || f.key == "function_declarations" {
			err := list(o.get(f.key), "functionDeclarations", func(v value) error {
				d, err := j.object(v, "a function", "name")
				if err != nil {
					return err
				}
				name, _ := d.get("name").text()
				j.tool(name)
				return nil
			})
			if err != nil {
				return err
			}
			continue
		}
		j.tool(f.key)
		if !j.Fetch && f.key != "computerUse" && f.key != "computer_use" && !f.null() {
			return fetches("the tool %s runs at the provider", shortened(f.key))
		}
	}
	return nil
}

// geminiPlain are the parts in which nothing is fetched.
var geminiPlain = []string{
	"text", "thought", "thoughtSignature", "thought_signature", "inlineData", "inline_data", "functionCall", "function_call", "functionResponse",
	"function_response", "executableCode", "executable_code", "codeExecutionResult", "code_execution_result", "videoMetadata", "video_metadata",
	"partMetadata", "part_metadata", "mediaResolution", "media_resolution", "toolCall", "tool_call", "toolResponse", "tool_response",
}

func (j *judge) geminiContent(v value) error {
	if v.is('"') {
		return nil
	}
	o, err := j.object(v, "content", "parts", "role")
	if err != nil {
		return err
	}
	part := func(v value) error { return j.geminiPart(v, 0) }
	parts := o.get("parts")
	if parts.is('{') { // a list of one may be written without its brackets
		return part(parts)
	}
	return list(parts, "parts", part)
}

func (j *judge) geminiPart(v value, depth int) error {
	if v.is('"') {
		return nil
	}
	o, err := j.object(v, "a part", "fileData", "file_data", "inlineData", "inline_data", "functionResponse", "function_response", "parts")
	if err != nil {
		return err
	}
	for _, f := range o {
		if !j.Fetch && !f.null() && !slices.Contains(geminiPlain, f.key) {
			return fetches("a part with %s is unknown here, or makes the provider fetch", shortened(f.key))
		}
	}
	r := o.get("functionResponse", "function_response")
	if r == nil || j.Fetch {
		return nil
	}
	if depth > 1 {
		return errors.New("parts are nested too deeply")
	}
	f, err := j.object(r, "the answer of a function", "parts")
	if err != nil {
		return err
	}
	return list(f.get("parts"), "parts", func(v value) error { return j.geminiPart(v, depth+1) })
}
