package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
)

// constraintWithin says whether every request that a admits, o admits as well, with as much
// of a rate and an answer. What it cannot find out within a bound it denies.
func (w *work) constraintWithin(a, o *belljar.Constraint) bool {
	switch {
	case o.Query != nil && (a.Query == nil || !w.paramsWithin(a.Query.Params, o.Query.Params)):
		return false
	case o.Rate != nil && (a.Rate == nil || !rateWithin(*a.Rate, *o.Rate)):
		return false
	case o.Response > 0 && (a.Response == 0 || a.Response > o.Response):
		return false
	}
	for _, f := range o.Headers {
		mine := fieldNamed(a.Headers, f.Name)
		if mine == nil {
			mine = &belljar.Field{Values: []string{"*"}}
		}
		if !w.valuesWithin(mine.Values, f.Values) {
			return false
		}
	}
	return true
}

// paramsWithin says whether every query of a is one of o: a parameter that only o names need
// not be there.
func (w *work) paramsWithin(a, o []belljar.Field) bool {
	for _, f := range a {
		theirs := fieldNamed(o, f.Name)
		if theirs == nil || !w.valuesWithin(f.Values, theirs.Values) {
			return false
		}
	}
	return true
}

func fieldNamed(l []belljar.Field, name string) *belljar.Field {
	i := slices.IndexFunc(l, func(f belljar.Field) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return &l[i]
}

func (w *work) valuesWithin(a, o []string) bool {
	as := make([]string, len(o))
	for i := range o {
		as[i] = valuePath(o[i])
	}
	for _, p := range a {
		if !w.spend(1+len(o)) || !slices.Contains(o, p) && !w.patternWithin(valuePath(p), as) {
			return false
		}
	}
	return true
}

// valuePath is the pattern of paths that compares with others as a pattern of values does:
// with two stars for one, and everything that is no letter or digit encoded.
func valuePath(pattern string) string {
	var b strings.Builder
	for i := range len(pattern) {
		switch c := pattern[i]; {
		case c == '*':
			b.WriteString("**")
		case c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9':
			b.WriteByte(c)
		default:
			const hex = "0123456789ABCDEF"
			b.WriteString(string([]byte{'%', hex[c>>4], hex[c&15]}))
		}
	}
	return b.String()
}

// rateWithin says whether a allows no more than o, at once and in the long run.
func rateWithin(a, o belljar.Rate) bool {
	return a.Requests <= o.Requests && int64(a.Requests)*seconds(o.Per) <= int64(o.Requests)*seconds(a.Per)
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// bothConstraints are the requests that both admit, but for values that no pattern can
// name; ok is false where there are none.
func (w *work) bothConstraints(a, o *belljar.Constraint) (c belljar.Constraint, ok bool) {
	switch {
	case a.Query == nil:
		c.Query = o.Query
	case o.Query == nil:
		c.Query = a.Query
	default:
		c.Query = &belljar.QueryRule{}
		for _, f := range a.Query.Params {
			if theirs := fieldNamed(o.Query.Params, f.Name); theirs != nil {
				if values := w.bothPatterns(f.Values, theirs.Values, valuePath); len(values) > 0 {
					c.Query.Params = append(c.Query.Params, belljar.Field{Name: f.Name, Values: values})
				}
			}
		}
	}
	if c.Headers, ok = w.bothHeaders(a.Headers, o.Headers); !ok {
		return c, false
	}
	c.Rate, c.Response = bothRates(a.Rate, o.Rate), a.Response
	if c.Response == 0 || o.Response > 0 && o.Response < c.Response {
		c.Response = o.Response
	}
	return c, true
}

func (w *work) bothHeaders(a, o []belljar.Field) (both []belljar.Field, ok bool) {
	for _, f := range a {
		if theirs := fieldNamed(o, f.Name); theirs != nil {
			if f.Values = w.bothPatterns(f.Values, theirs.Values, valuePath); len(f.Values) == 0 {
				return nil, false
			}
		}
		both = append(both, f)
	}
	for _, f := range o {
		if fieldNamed(a, f.Name) == nil {
			both = append(both, f)
		}
	}
	slices.SortFunc(both, func(a, b belljar.Field) int { return strings.Compare(a.Name, b.Name) })
	return both, true
}

// bothRates is a rate within both.
func bothRates(a, o *belljar.Rate) *belljar.Rate {
	switch {
	case o == nil || a != nil && rateWithin(*a, *o):
		return a
	case a == nil || rateWithin(*o, *a):
		return o
	}
	n := min(a.Requests, o.Requests)
	per := func(r *belljar.Rate) int64 {
		return (int64(n)*seconds(r.Per) + int64(r.Requests) - 1) / int64(r.Requests)
	}
	return &belljar.Rate{Requests: n, Per: time.Duration(max(per(a), per(o))) * time.Second}
}
