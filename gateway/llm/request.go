package llm

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/belljar-dev/belljar"
)

// MaxBody is the size up to which a request is read and judged.
const MaxBody = 32 << 20

const (
	// defaultOutput is what a call may come to that names no limit.
	defaultOutput = 32 << 10
	// bytesPerToken is how many bytes of a request are taken for a token: real text has
	// about four.
	bytesPerToken = 3
	maxNested     = 8       // of content in content, tools in tools
	maxObjects    = 100_000 // messages, parts, tools
)

// Options say how a request is judged.
type Options struct {
	API   belljar.LLMAPI
	Call  string // of [belljar.LLMPath]
	Model string // where the path names it
	Fetch bool   // the provider may fetch, run and connect
	// Socket says that it is a message of a WebSocket.
	Socket bool
}

// Facts are what a request says of itself.
type Facts struct {
	// Models are those that may answer: the one that is asked for first.
	Models    []string
	MaxOutput int64 // 0: not said
	Choices   int64 // how many answers are asked for, at least 1
	Stream    bool
	Tools     []string // their names or kinds

	root   value
	b      []byte
	images int // bytes of images that are no tokens
}

// imageBytes is the part of an image that is counted as text would be: it costs a
// few thousand tokens, however large it is.
const imageBytes = 30_000

// image notes the text that is an image. It must not be noted twice.
func (f *Facts) image(v value) { f.images += max(0, len(v)-imageBytes) }

// Model is the one that is asked for.
func (f *Facts) Model() string {
	if len(f.Models) == 0 {
		return ""
	}
	return f.Models[0]
}

// Estimate is how many tokens a call comes to at most, as far as one can tell before. The
// input is at least 1, the output not negative.
func (f *Facts) Estimate(size int) (input, output int64) {
	output = f.MaxOutput
	if output == 0 {
		output = defaultOutput
	}
	if output > math.MaxInt64/4/f.Choices {
		output = math.MaxInt64 / 4
	} else {
		output *= f.Choices
	}
	return int64(max(0, size-f.images))/bytesPerToken + 1, output
}

// A Refusal says why a request is not sent.
type Refusal struct {
	Why string
	// Fetch says that the provider would fetch for the sandbox: fetch: allow lets it.
	Fetch bool
	// Model is the one that is not allowed.
	Model string
}

// Error implements [error].
func (r *Refusal) Error() string { return r.Why }

func fetches(format string, args ...any) error {
	return &Refusal{Why: fmt.Sprintf(format, args...), Fetch: true}
}

// Judge reads a request's body and says why it must not be sent.
func Judge(b []byte, o Options) (*Facts, *Refusal) {
	v, err := parse(b)
	if err == nil && !v.is('{') {
		err = errors.New("it is no JSON object")
	}
	f := &Facts{Choices: 1, root: v, b: b}
	if o.Model != "" {
		f.Models = []string{o.Model}
	}
	if err == nil {
		j := &judge{Options: o, f: f}
		switch o.API {
		case belljar.LLMAnthropic:
			err = j.anthropic(v)
		case belljar.LLMOpenAI:
			err = j.openAI(v)
		case belljar.LLMGemini:
			err = j.gemini(v)
		default:
			err = fmt.Errorf("no API is called %s", o.API)
		}
	}
	if err == nil && len(f.Models) == 0 {
		err = errors.New("it names no model")
	}
	var no *Refusal
	switch {
	case err == nil:
		return f, nil
	case errors.As(err, &no):
		return nil, no
	}
	return nil, &Refusal{Why: "the request cannot be judged: " + err.Error()}
}

// Allowed says which of the models that may answer no pattern allows; empty: none.
func (f *Facts) Allowed(patterns []string) (not string) {
	for _, m := range f.Models {
		if !slices.ContainsFunc(patterns, func(p string) bool { return belljar.MatchModel(p, m) }) {
			return m
		}
	}
	return ""
}

// A judge goes through one request.
type judge struct {
	Options
	f       *Facts
	objects int // that were judged
}

// object is an object that is judged. There are not too many: each takes time.
func (j *judge) object(v value, what string, names ...string) (object, error) {
	if j.objects++; j.objects > maxObjects {
		return nil, fmt.Errorf("it has more than %d messages, parts and tools", maxObjects)
	}
	return v.judged(what, names...)
}

// head reads what all APIs have in the same form.
func (j *judge) head(o object, limits ...string) error {
	if v := o.get("model"); v != nil {
		if err := j.model(v); err != nil {
			return err
		}
	}
	for _, key := range []string{"models", "fallbacks"} {
		if err := j.instead(o.get(key), key); err != nil {
			return err
		}
	}
	if v := o.get("stream"); v != nil {
		j.f.Stream = v.is('t')
	}
	return j.limits(o, limits...)
}

// limits reads how much the model may say.
func (j *judge) limits(o object, names ...string) error {
	for _, name := range names {
		if v := o.get(name); v != nil {
			n, ok := v.count()
			if !ok {
				return fmt.Errorf("%s is no whole number", name)
			}
			j.f.MaxOutput = max(j.f.MaxOutput, n)
		}
	}
	return nil
}

// maxModels is how many may answer one request.
const maxModels = 64

// model notes one that may answer.
func (j *judge) model(v value) error {
	m, ok := v.text()
	if !ok || m == "" || len(m) > 256 || len(j.f.Models) >= maxModels {
		return errors.New("a model that may answer has no name, or there are too many")
	}
	j.f.Models = append(j.f.Models, m)
	return nil
}

// instead reads to which models a server may go where the first does not answer: a list of
// names or of what is different for them, or a word ("default") by which the server chooses,
// which is taken for a name.
func (j *judge) instead(v value, key string) error {
	if v.is('"') {
		return j.model(v)
	}
	return list(v, key, func(v value) error {
		if !v.is('{') {
			return j.model(v)
		}
		o, err := j.object(v, "one of "+key, "model", "max_tokens")
		if err != nil {
			return err
		}
		if err := j.known(o, []string{"model", "max_tokens", "output_config", "speed", "thinking"}); err != nil {
			return err
		}
		if err := j.model(o.get("model")); err != nil {
			return err
		}
		return j.limits(o, "max_tokens")
	})
}

// choices reads how many answers are asked for.
func (j *judge) choices(o object, names ...string) error {
	for _, name := range names {
		if v := o.get(name); v != nil {
			n, ok := v.count()
			if !ok || n > 1024 {
				return fmt.Errorf("%s is no sensible number", name)
			}
			j.f.Choices = max(j.f.Choices, n)
		}
	}
	return nil
}

// none refuses what only a provider that may fetch is told.
func (j *judge) none(o object, names ...string) error {
	for _, name := range names {
		if v := o.get(name); v != nil && !j.Fetch && string(v) != "[]" && string(v) != "false" {
			return fetches("%s lets the provider fetch, run or connect", name)
		}
	}
	return nil
}

// known refuses keys of a request that are not known: they may make the provider fetch.
func (j *judge) known(o object, keys []string) error {
	for _, f := range o {
		if !j.Fetch && !f.null() && !slices.Contains(keys, f.key) {
			return fetches("%s in a request is unknown here, and may make the provider fetch", shortened(f.key))
		}
	}
	return nil
}

// list goes through an array, or one that is not there.
func list(v value, what string, f func(value) error) error {
	switch {
	case v == nil:
		return nil
	case !v.is('['):
		return fmt.Errorf("%s is no list", what)
	}
	return v.each(f)
}

// kind is an object's type.
func kind(o object, what string) (string, error) {
	s, ok := o.get("type").text()
	if !ok {
		return "", fmt.Errorf("%s has no type", what)
	}
	return s, nil
}

// tool notes a tool.
func (j *judge) tool(name string) {
	if len(j.f.Tools) < 256 {
		j.f.Tools = append(j.f.Tools, shortened(name))
	}
}
