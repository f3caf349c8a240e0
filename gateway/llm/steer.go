package llm

import (
	"bytes"
	"encoding/json"

	"github.com/belljar-dev/belljar"
)

// Steer is the request with a text for the model added to what the system tells it. ok
// is false where the request has no place for it: then it is sent as it is.
func (f *Facts) Steer(o Options, note string) (b []byte, ok bool) {
	root := object(f.root.fields())
	quoted, err := json.Marshal(note)
	if err != nil {
		return nil, false
	}
	block := func(format string) string { return format + string(quoted) + "}" }
	switch {
	case o.API == belljar.LLMAnthropic:
		return f.extend(root.get("system"), "system", block(`{"type":"text","text":`), true)
	case o.API == belljar.LLMGemini:
		sys := root.get("systemInstruction", "system_instruction")
		if sys == nil && (f.has("systemInstruction") || f.has("system_instruction")) {
			return nil, false
		}
		if sys == nil {
			return f.insert(`"systemInstruction":{"parts":[` + block(`{"text":`) + `]}`), true
		}
		parts := object(sys.fields()).get("parts")
		if parts.is('[') {
			return f.extend(parts, "", block(`{"text":`), false)
		}
	case o.Call == "responses":
		if in := root.get("input"); in.is('[') {
			return f.extend(in, "", block(`{"type":"message","role":"developer","content":`), false)
		}
	case o.Call == "chat":
		if m := root.get("messages"); m.is('[') {
			return f.extend(m, "", block(`{"role":"system","content":`), false)
		}
	}
	return nil, false
}

// extend adds a block to a list. Where bare is set, the list may be a text, or not be
// there: then it is made under its key.
func (f *Facts) extend(v value, key, block string, bare bool) ([]byte, bool) {
	switch {
	case v == nil && bare && !f.has(key):
		return f.insert(`"` + key + `":[` + block + `]`), true
	case v.is('"') && bare:
		at := f.offset(v)
		text := `[{"type":"text","text":` + string(v) + `},` + block + `]`
		return bytes.Join([][]byte{f.b[:at], []byte(text), f.b[at+len(v):]}, nil), true
	case v.is('['):
		end := f.offset(v) + len(v) - 1
		comma := ""
		if blanks(v, 1) != len(v)-1 {
			comma = ","
		}
		return bytes.Join([][]byte{f.b[:end], []byte(comma + block), f.b[end:]}, nil), true
	}
	return nil, false
}

func (f *Facts) has(key string) bool {
	for _, x := range f.root.fields() {
		if x.key == key {
			return true
		}
	}
	return false
}

// insert puts a pair in front of the others of the root object.
func (f *Facts) insert(pair string) []byte {
	at := f.offset(f.root) + 1
	if len(f.root.fields()) > 0 {
		pair += ","
	}
	return bytes.Join([][]byte{f.b[:at], []byte(pair), f.b[at:]}, nil)
}

// offset is where a part of the body begins in it.
func (f *Facts) offset(v value) int {
	return cap(f.b) - cap(v) // both end where the memory of b does
}
