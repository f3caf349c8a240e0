package terminal

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// escapes are the sequences of ESC and one byte, or intermediate bytes and one
// byte. Those with a name are dropped under that name; what is not in the table
// is dropped.
var escapes = map[string]string{
	"6": "", "7": "", "8": "", "9": "", // back index, save and restore cursor, forward index
	"=": "", ">": "", // keypad
	"c": "",                            // full reset
	"D": "", "E": "", "H": "", "M": "", // index, next line, set tab, reverse index
	"N": "", "O": "", "n": "", "o": "", // shifts
	"|": "", "}": "", "~": "", //
	"(0": "", "(A": "", "(B": "", "(1": "", "(2": "", // character sets
	")0": "", ")A": "", ")B": "", ")1": "", ")2": "",
	"*0": "", "*A": "", "*B": "", "+0": "", "+A": "", "+B": "",
	"#3": "", "#4": "", "#5": "", "#6": "", "#8": "", // line sizes, alignment
	"%G": "",                        // UTF-8, which it is already
	"%@": "leaving UTF-8 (ESC % @)", // makes bytes of ordinary text control codes
	" F": "", " G": "8-bit answers (S8C1T)",
	"Z": "question to the terminal",
}

// A csiRule says what becomes of a control sequence.
type csiRule struct {
	drop      string       // not empty: dropped, counted as this
	query     bool         // the terminal answers with numbers of its own
	only      map[int]bool // not nil: values that the first parameter may have (0 when it is missing)
	otherwise string       // what it is counted as otherwise
}

// answered says whether the terminal answers the sequence.
func (r *csiRule) answered(name string, c csiSeq) bool {
	return r.query || name == "t" && c.first() < 20
}

func only(els string, values ...int) csiRule {
	r := csiRule{only: make(map[int]bool), otherwise: els}
	for _, v := range values {
		r.only[v] = true
	}
	return r
}

func asks(values ...int) csiRule {
	r := only("question to the terminal", values...)
	r.query = true
	return r
}

const (
	dropQuery  = "question to the terminal"
	dropWindow = "window operation"
	dropPrint  = "printing (media copy)"
	dropScreen = "reading the screen back"
)

// csiRules are the control sequences, named by prefix, intermediate bytes and
// final byte. What is not in the table is dropped. The modes of h and l are in
// privateModes and ansiModes.
var csiRules = func() map[string]csiRule {
	t := map[string]csiRule{
		"n": asks(5, 6), "?n": asks(6, 996), // status, cursor position; dark or light
		"c": asks(0), ">c": asks(0), "=c": {drop: dropQuery}, // device attributes
		"$p": {query: true}, "?$p": {query: true}, // is this mode set
		"?u": {query: true}, ">u": {}, "<u": {}, "=u": {}, // keyboard protocol
		">m": {}, ">n": {}, "?m": {drop: dropQuery}, // modifier keys
		">q": {drop: dropQuery}, "x": {drop: dropQuery}, // version, parameters
		"$u": {drop: dropQuery}, "$w": {drop: dropQuery}, "&w": {drop: dropQuery},
		"&u": {drop: dropQuery}, "+x": {drop: dropQuery}, "'|": {drop: dropQuery}, "?S": {drop: dropQuery},
		"*y": {drop: dropScreen}, "#S": {drop: dropQuery}, "#R": {drop: dropQuery},
		"t":  only(dropWindow, 14, 16, 18, 22, 23), // sizes; save and restore the title
		">t": {drop: "title mode"}, ">T": {drop: "title mode"},
		"i": {drop: dropPrint}, "?i": {drop: dropPrint},
		"q": {drop: "keyboard lamps"}, "y": {drop: "self test"},
		"\"p": {drop: "8-bit answers (DECSCL)"},
		" q":  {}, "\"q": {}, "!p": {}, " @": {}, " A": {}, "'}": {}, "'~": {},
		"?J": {}, "?K": {}, "?W": only("tabs", 5), "#{": {}, "#}": {}, "#p": {}, "#q": {},
		"$r": {}, "$t": {}, "$v": {}, "$x": {}, "$z": {}, "${": {}, "*x": {},
	}
	for _, c := range "@ABCDEFGHIJKLMPSTXZ`abdefgmrsu" {
		t[string(c)] = csiRule{}
	}
	return t
}()

// privateModes are the modes of CSI ? h and l that pass. The value is what the
// mode is by default; what differs is undone at the end.
var privateModes = map[int]mode{
	1: off, 4: off, 5: off, 6: off, 7: on, 8: on, 9: off, 12: off, 25: on, 45: off, 47: off, 66: off, 69: off,
	1000: off, 1002: off, 1003: off, 1004: off, 1005: off, 1006: off, 1007: off, 1015: off, 1016: off,
	1034: untouched, 1036: untouched, 1039: untouched,
	1047: off, 1048: untouched, 1049: off,
	2004: off, 2026: off, 2027: untouched, 2031: off, 2048: off,
}

// ansiModes are those of CSI h and l: insert, newline, and the cursor of screen and tmux.
var ansiModes = map[int]mode{4: off, 20: off, 34: untouched}

type mode int

const (
	off mode = iota
	on
	untouched // not undone: its default is the user's choice
)

// endCSI judges a control sequence: seq and the final byte.
func (f *Filter) endCSI(final byte) {
	c, ok := parseCSI(f.seq, f.params[:0])
	f.params = c.params
	if !ok {
		f.drop("malformed sequence")
		return
	}
	if c.inter == "" && (final == 'h' || final == 'l') && (c.prefix == "" || c.prefix == "?") {
		f.endMode(c, final)
		return
	}
	name := c.prefix + c.inter + string(rune(final))
	rule, ok := csiRules[name]
	switch {
	case !ok:
		f.drop("control sequence")
		return
	case rule.drop != "":
		f.drop(rule.drop)
		return
	case rule.only != nil && !rule.only[c.first()]:
		f.drop(rule.otherwise)
		return
	case f.o.NoQueries && rule.answered(name, c):
		f.drop(dropQuery)
		return
	case name == "b" && c.first() > 9999:
		f.drop("malformed sequence")
		return
	}
	if rule.answered(name, c) {
		f.changed.queries++
	}
	f.changed.csi(name, c)
	f.out = append(f.out, esc, '[')
	f.out = append(f.out, f.seq...)
	f.out = append(f.out, final)
}

// endMode passes those modes of a sequence that are allowed.
func (f *Filter) endMode(c csiSeq, final byte) {
	table := ansiModes
	if c.prefix == "?" {
		table = privateModes
	}
	var pass []string
	for _, p := range c.params {
		m, ok := table[p]
		if !ok {
			f.drop("mode " + c.prefix + strconv.Itoa(p))
			continue
		}
		pass = append(pass, strconv.Itoa(p))
		f.changed.mode(c.prefix, p, m, final == 'h')
	}
	if len(pass) > 0 {
		f.out = append(f.out, "\x1b["+c.prefix+strings.Join(pass, ";")+string(rune(final))...)
	}
}

// A csiSeq is a control sequence taken apart.
type csiSeq struct {
	prefix string // one of < = > ?, or nothing
	params []int  // without sub-parameters; a missing one is 0
	inter  string
}

func (c *csiSeq) first() int {
	if len(c.params) == 0 {
		return 0
	}
	return c.params[0]
}

// parseCSI takes a sequence apart; params is empty room for its numbers. Numbers of more than six digits and whatever
// is out of order are no sequence.
func parseCSI(seq []byte, params []int) (csiSeq, bool) {
	c := csiSeq{params: params}
	if len(seq) > 0 && seq[0] >= '<' && seq[0] <= '?' {
		c.prefix, seq = string(seq[:1]), seq[1:]
	}
	end := 0
	for end < len(seq) && (seq[end] >= '0' && seq[end] <= ';') {
		end++
	}
	if end < len(seq) {
		c.inter = string(seq[end:])
		if len(c.inter) > 2 || strings.ContainsFunc(c.inter, func(r rune) bool { return r >= '0' }) {
			return c, false
		}
	}
	return c, c.takeParams(seq[:end])
}

// takeParams reads numbers between semicolons; what follows a colon belongs to the
// number in front of it and is only checked.
func (c *csiSeq) takeParams(seq []byte) bool {
	if len(seq) == 0 {
		return true
	}
	v, digits, sub := 0, 0, false
	for _, b := range seq {
		switch {
		case b == ';':
			c.params = append(c.params, v)
			v, digits, sub = 0, 0, false
		case b == ':':
			digits, sub = 0, true
		default:
			if digits++; digits > 6 {
				return false
			}
			if !sub {
				v = 10*v + int(b-'0')
			}
		}
	}
	c.params = append(c.params, v)
	return true
}

// oscName is what a dropped OSC is counted as.
func oscName(seq []byte) string {
	num, _, _ := bytes.Cut(seq, []byte(";"))
	switch n := string(num); n {
	case "52":
		return "clipboard (OSC 52)"
	case "9", "99", "777":
		return "notification (OSC " + n + ")"
	case "8":
		return "hyperlink that is not http"
	case "1337":
		return "terminal command (OSC 1337)"
	default:
		if v, err := strconv.ParseUint(n, 10, 16); err == nil {
			return "OSC " + strconv.FormatUint(v, 10)
		}
		return "operating system command"
	}
}

// endOSC judges an operating system command; end is how it was terminated.
func (f *Filter) endOSC(end string) {
	text, ok := f.judgeOSC()
	if !ok {
		f.drop(oscName(f.seq))
		return
	}
	f.out = append(append(append(f.out, esc, ']'), text...), end...)
}

// judgeOSC returns what may pass of the command in seq.
func (f *Filter) judgeOSC() (string, bool) {
	s := string(f.seq)
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 && r < 0xa0 }) {
		return "", false
	}
	num, arg, _ := strings.Cut(s, ";")
	switch num {
	case "0", "1", "2":
		if f.o.SaveTitle && !f.changed.title {
			f.out = append(f.out, "\x1b[22;0t"...)
			f.changed.title = true
		}
		return num + ";" + shortTitle(arg), true
	case "4", "10", "11", "12":
		return f.judgeColor(num, arg)
	case "104", "110", "111", "112":
		return s, allOf(arg, "0123456789;")
	case "8":
		return f.judgeLink(arg)
	case "9":
		if rest, ok := strings.CutPrefix(arg, "4;"); ok && allOf(rest, "0123456789;") && len(rest) < 8 {
			f.changed.progress = true
			return s, true
		}
		return num + ";" + shortTitle(arg), f.o.Notify && !startsNumber(arg)
	case "777":
		return num + ";" + shortTitle(arg), f.o.Notify && strings.HasPrefix(arg, "notify;")
	case "52":
		target, data, ok := strings.Cut(arg, ";")
		return s, ok && f.o.Clipboard && allOf(target, "cps01234567") && allOf(data, base64Bytes)
	case "133":
		kind, rest, _ := strings.Cut(arg, ";")
		return s, len(kind) == 1 && allOf(kind, "ABCD") && allOf(rest, "0123456789") && len(rest) < 8
	}
	return "", false
}

const base64Bytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="

// startsNumber finds the commands that ConEmu understands in OSC 9.
func startsNumber(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

func allOf(s, set string) bool { return strings.Trim(s, set) == "" }

// shortTitle escapes s and cuts it, so that doing it again changes nothing.
func shortTitle(s string) string {
	const most = 256
	s = Escape(s)
	if len(s) <= most {
		return s
	}
	n := most
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// judgeColor passes setting and asking for one colour, or for colours of the
// palette: names, rgb: and # values.
func (f *Filter) judgeColor(num, arg string) (string, bool) {
	values := strings.Split(arg, ";")
	if num == "4" {
		if len(values)%2 != 0 {
			return "", false
		}
		for i := 0; i < len(values); i += 2 {
			if values[i] == "" || !allOf(values[i], "0123456789") {
				return "", false
			}
		}
	} else if len(values) != 1 {
		return "", false // further ones change colours of other numbers
	}
	set, asked := false, 0
	for i, v := range values {
		switch {
		case num == "4" && i%2 == 0:
		case v == "?" && !f.o.NoQueries:
			asked++
		case v == "" || len(v) > 64 || !allOf(v, base64Bytes[:62]+"#:/ .,"):
			return "", false
		default:
			set = true
		}
	}
	if set {
		f.changed.color(num)
	}
	f.changed.queries += asked
	return num + ";" + arg, true
}

// judgeLink passes hyperlinks to the web; elsewhere a click could start a program.
func (f *Filter) judgeLink(arg string) (string, bool) {
	params, uri, ok := strings.Cut(arg, ";")
	if !ok {
		return "", false
	}
	if uri == "" {
		f.changed.link = false
		return "8;;", true
	}
	if !webAddress(uri) {
		return "", false
	}
	id, ok := strings.CutPrefix(params, "id=")
	if !ok || len(id) > 250 || !allOf(id, base64Bytes+"-_.") {
		params = ""
	}
	f.changed.link = true
	return "8;" + params + ";" + uri, true
}

func webAddress(uri string) bool {
	if len(uri) > 2083 || strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r >= del }) {
		return false
	}
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return false
	}
	host, _, _ := strings.Cut(rest, "/")
	return host != "" && !strings.Contains(host, "@") // user@ hides the real host
}
