package belljar

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Constraint confines the requests that a rule allows beyond their methods and paths.
// Its zero value allows all of them.
type Constraint struct {
	// Query says which parameters a query may have; nil: any.
	Query *QueryRule `json:"query,omitempty"`
	// Headers say what request headers hold, by canonical names, sorted. A header that is
	// missing counts as one that is empty; one that is there twice fits nothing.
	Headers []Field `json:"headers,omitempty"`
	// Rate bounds how many requests the rule allows in one sandbox; nil: any number.
	Rate *Rate `json:"rate,omitempty"`
	// Response bounds the bytes of one answer's body as they are sent, with its trailers;
	// 0: no bound.
	Response int64 `json:"response,omitempty"`
}

// A QueryRule names the parameters that a query may have. One that is not named is refused,
// and so is every query where none is named. None has to be there; one that is there more
// than once is judged each time.
type QueryRule struct {
	Params []Field `json:"params"` // sorted by name
}

// A Field is a name with what its value may be: one of some patterns of [MatchText].
type Field struct {
	Name   string   `json:"name"`
	Values []string `json:"values"` // sorted, never empty
}

// Admits says whether value matches one of the field's patterns.
func (f *Field) Admits(value string) bool {
	for _, p := range f.Values {
		if MatchText(p, value) {
			return true
		}
	}
	return false
}

// MatchText says whether a text matches a pattern, in which "*" stands for any run of
// bytes, also an empty one, and everything else for itself. The time is linear in the
// text for each star.
func MatchText(pattern, text string) bool {
	first, rest, stars := strings.Cut(pattern, "*")
	if !stars {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, first)
	if !ok {
		return false
	}
	for {
		piece, more, again := strings.Cut(rest, "*")
		if !again {
			return strings.HasSuffix(text, piece)
		}
		i := strings.Index(text, piece)
		if i < 0 {
			return false
		}
		text, rest = text[i+len(piece):], more
	}
}

// A Rate allows so many requests in so much time: all of them at once, and from then on as
// many more as time has passed for.
type Rate struct {
	Requests int           `json:"requests"`
	Per      time.Duration `json:"per"` // whole seconds
}

// String is the rate as a policy has it: 60/m, 10/s, 5/90s.
func (r Rate) String() string {
	seconds := int64(r.Per / time.Second)
	for _, u := range rateUnits() {
		if seconds%u.seconds != 0 {
			continue
		}
		n := ""
		if seconds != u.seconds {
			n = strconv.FormatInt(seconds/u.seconds, 10)
		}
		return strconv.Itoa(r.Requests) + "/" + n + u.name
	}
	return ""
}

// The bounds of a rate.
const (
	MaxRateRequests = 1_000_000
	MaxRatePer      = 31 * 24 * time.Hour
)

type rateUnit struct {
	name    string
	seconds int64
}

func rateUnits() []rateUnit {
	return []rateUnit{{"d", 24 * 60 * 60}, {"h", 60 * 60}, {"m", 60}, {"s", 1}}
}

// ParseRate reads what [Rate.String] writes.
func ParseRate(s string) (Rate, error) {
	bad := fmt.Errorf("%q is no rate: write 60/m, 10/s, 1000/h or 5/90s", s)
	count, per, ok := strings.Cut(s, "/")
	if !ok {
		return Rate{}, bad
	}
	n, okN := rateNumber(count)
	for _, u := range rateUnits() {
		times, found := strings.CutSuffix(per, u.name)
		if !found {
			continue
		}
		k, okK := int64(1), true
		if times != "" {
			k, okK = rateNumber(times)
		}
		if !okN || !okK {
			return Rate{}, bad
		}
		if n > MaxRateRequests || k > int64(MaxRatePer/time.Second)/u.seconds {
			return Rate{}, fmt.Errorf("%q: at most %d requests, in at most %d days", s, MaxRateRequests, MaxRatePer/(24*time.Hour))
		}
		return Rate{int(n), time.Duration(k*u.seconds) * time.Second}, nil
	}
	return Rate{}, bad
}

// rateNumber reads a number of one to nine digits that is not zero.
func rateNumber(s string) (int64, bool) {
	if s == "" || len(s) > 9 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n > 0
}

// A Param is a parameter of a query, decoded.
type Param struct{ Name, Value string }

// A RequestDetail is what an HTTP request says beside its method and path.
type RequestDetail struct {
	Params []Param
	// Unclear says why the query has no one meaning; empty where it has.
	Unclear string
	// Header has canonical names.
	Header map[string][]string
	// Trailers are the names of the trailers that were announced.
	Trailers []string
}

// Constrained says whether the rule confines requests beyond methods, paths and git.
func (c *Constraint) Constrained() bool {
	return c.Query != nil || len(c.Headers) > 0 || c.Rate != nil || c.Response > 0
}

// Judges says whether the rule looks at the query or the headers of a request.
func (c *Constraint) Judges() bool { return c.Query != nil || len(c.Headers) > 0 }

// fault says what of a request's query or headers the constraint does not allow.
func (c *Constraint) fault(d *RequestDetail) string {
	if why := c.Query.fault(d); why != "" {
		return why
	}
	for i := range c.Headers {
		if why := headerFault(&c.Headers[i], d); why != "" {
			return why
		}
	}
	return ""
}

func (q *QueryRule) fault(d *RequestDetail) string {
	if q == nil {
		return ""
	}
	if d.Unclear != "" {
		return "this query: " + d.Unclear
	}
	for _, p := range d.Params {
		f := fieldOf(q.Params, p.Name)
		switch {
		case f == nil:
			return "the parameter " + shortQuote(p.Name) + " in its query"
		case !f.Admits(p.Value):
			return "this value of the parameter " + shortQuote(p.Name) + " in its query"
		}
	}
	return ""
}

func fieldOf(l []Field, name string) *Field {
	for i := range l {
		if l[i].Name == name {
			return &l[i]
		}
	}
	return nil
}

// headerFault judges one header. A name that some servers read as the same one is refused:
// they take underscores for hyphens, and trailers for headers.
func headerFault(f *Field, d *RequestDetail) string {
	plain := PlainHeader(f.Name)
	for name, values := range d.Header {
		if len(values) > 0 && name != f.Name && PlainHeader(name) == plain {
			return "the header " + shortQuote(name) + ", which some servers take for " + f.Name
		}
	}
	for _, name := range d.Trailers {
		if PlainHeader(name) == plain {
			return "the header " + f.Name + " as a trailer"
		}
	}
	value := ""
	switch values := d.Header[f.Name]; len(values) {
	case 0:
	case 1:
		value = strings.Trim(values[0], " \t")
	default:
		return "the header " + f.Name + " more than once"
	}
	switch {
	case f.Admits(value):
		return ""
	case value == "":
		return "it without the header " + f.Name
	}
	return "this value of the header " + f.Name
}

// PlainHeader is the name of a header as the most lenient server reads it: in lower case,
// without what is neither a letter nor a digit.
func PlainHeader(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		case 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
			return r
		}
		return -1
	}, name)
}

// queryFix is the field of a rule that allows the parameters of a request, where they are
// few and simple.
func (d *RequestDetail) queryFix() string {
	if d == nil || d.Unclear != "" || len(d.Params) == 0 {
		return ""
	}
	var names []string
	for _, p := range d.Params {
		if len(p.Name) > 64 || strings.Trim(p.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.[]") != "" {
			return ""
		}
		if name := strconv.Quote(p.Name) + `: "*"`; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) > 8 {
		return ""
	}
	return ", query: {" + strings.Join(names, ", ") + "}"
}

// shortQuote quotes what came from inside, at most 64 bytes of it, in ASCII.
func shortQuote(s string) string {
	if len(s) > 64 {
		return strconv.QuoteToASCII(s[:64]) + "…"
	}
	return strconv.QuoteToASCII(s)
}
