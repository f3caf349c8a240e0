package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/belljar-dev/belljar"
)

// flagMark is the place of a flag's value.
func flagMark(name, value string) mark {
	src := &source{layer: layerFlag, file: name, lines: []string{name + " " + value}}
	return mark{src: src}
}

func flagItem[T any](name, value string, v T) item[T] { return item[T]{v, flagMark(name, value)} }

// decodeFlags reads the command line's values as one more layer.
func decodeFlags(o *LoadOptions, p *paths, r *report) *document {
	f := flagReader{o: &o.Flags, paths: p, report: r, dir: p.cwd}
	d := &document{src: newSource(layerFlag, "", p.cwd, nil), limits: map[string]item[int64]{}}
	f.words(d)
	for _, n := range o.Presets {
		if _, ok := presetSources()[n]; !ok {
			suggestion := "presets are " + strings.Join(presetNames(), ", ")
			if c := nearest(n, presetNames()); c != "" {
				suggestion = fmt.Sprintf("did you mean %q?", c)
			}
			f.add(flagMark("--preset", n), "", suggestion, "no preset %q", n)
			continue
		}
		d.extends.items = append(d.extends.items, flagItem("--preset", n, n))
	}
	for _, a := range f.o.Allow {
		rule, suggestion, err := parseRule(a)
		if f.ok("--allow", a, suggestion, err) {
			d.allow.items = append(d.allow.items, flagItem("--allow", a, rule))
		}
	}
	f.credentials(d)
	d.read.items = f.pathItems("--read", f.o.Read, false)
	d.write.items = f.pathItems("--write", f.o.Write, true)
	for _, g := range f.o.Hide {
		if f.ok("--hide", g, "", checkGlob(g)) {
			d.hide.items = append(d.hide.items, flagItem("--hide", g, g))
		}
	}
	f.env(d)
	f.limits(d)
	return d
}

type flagReader struct {
	*report
	o     *Flags
	paths *paths
	dir   string
}

func (f *flagReader) ok(flag, value, suggestion string, err error) bool {
	if err != nil {
		f.add(flagMark(flag, value), "", suggestion, "%s", err)
	}
	return err == nil
}

func (f *flagReader) words(d *document) {
	if v := f.o.Tier; v != "" {
		if suggestion, ok := f.paths.tier(v); ok {
			t := flagItem("--tier", v, v)
			d.tier = &t
		} else {
			f.add(flagMark("--tier", v), "", suggestion, "no tier %q", v)
		}
	}
	if v := f.o.Mode; v != "" {
		m, suggestion, err := parseMode(v)
		if f.ok("--mode", v, suggestion, err) {
			i := flagItem[belljar.Mode]("--mode", v, m)
			d.mode = &i
		}
	}
}

func (f *flagReader) pathItems(flag string, values []string, write bool) []item[string] {
	var l []item[string]
	for _, v := range values {
		abs, suggestion, err := f.paths.resolve(v, f.dir, write)
		if f.ok(flag, v, suggestion, err) {
			l = append(l, flagItem(flag, v, abs))
		}
	}
	return l
}

// env reads --env NAME and --env NAME=VALUE.
func (f *flagReader) env(d *document) {
	for _, e := range f.o.Env {
		name, value, has := strings.Cut(e, "=")
		switch {
		case !validEnvName(name):
			f.add(flagMark("--env", name), "", "write NAME or NAME=VALUE", "%q is not the name of a variable", name)
		case strings.ContainsRune(value, 0):
			f.add(flagMark("--env", name), "", "", "the value contains a NUL byte")
		case has:
			// The value may be a secret: it is no part of what is shown.
			d.set.items = append(d.set.items, flagItem("--env", name, setting{name, value}))
		case NeverPassed(name):
			f.add(flagMark("--env", name), "", "--env "+name+"=VALUE sets it", "%s never passes: it leads to the host, or the sandbox has its own", name)
		default:
			d.pass.items = append(d.pass.items, flagItem("--env", name, name))
		}
	}
}

// credentials reads --credential NAME=HOST[:PORT]. No message repeats the value: it
// may be a key that somebody typed in the wrong place.
func (f *flagReader) credentials(d *document) {
	const flag, form = "--credential", "write NAME=HOST[:PORT]: the variable of yours that holds the value, and the host that it is for"
	for _, v := range f.o.Credential {
		name, host, ok := strings.Cut(v, "=")
		if !ok || !validEnvName(name) {
			f.add(flagMark(flag, ""), "", form, "it needs the name of a variable and a host")
			continue
		}
		if NeverPassed(name) {
			f.add(flagMark(flag, name), "", "", "%s is no place for a credential: the sandbox has its own", name)
			continue
		}
		b, suggestion, err := parseBound(host)
		if err == nil && b.Host != belljar.Localhost && !strings.Contains(b.Host, ".") {
			err = errors.New("no dot") // far more often a key than a host
		}
		if err != nil {
			if suggestion != "write localhost:PORT" {
				suggestion = form
			}
			what := "what follows " + name + "= is not a host with an optional port"
			switch _, aerr := netip.ParseAddr(strings.Trim(host, "[]")); {
			case host == "":
				what = "no host follows " + name + "="
			case strings.HasPrefix(host, "https://") || strings.HasPrefix(host, "http://"):
				what, suggestion = "what follows "+name+"= is a URL", "write the host alone, without http, slashes and a path: NAME=HOST[:PORT]"
			case aerr == nil:
				what, suggestion = "what follows "+name+"= is an address", "a credential goes to names only; for a service of this host write localhost:PORT"
			}
			f.add(flagMark(flag, name), "", suggestion, "%s", what)
			continue
		}
		g := grant{more: true}
		g.Name, g.Hosts = name, []belljar.BoundHost{b}
		d.credentials.items = append(d.credentials.items, flagItem(flag, v, g))
	}
}

func (f *flagReader) limits(d *document) {
	for _, l := range []struct{ name, value string }{
		{limitMemory, f.o.Memory}, {limitCPUs, f.o.CPUs}, {limitProcesses, f.o.Processes}, {limitDisk, f.o.Disk}, {limitTime, f.o.Time},
	} {
		if l.value == "" {
			continue
		}
		v, err := parseLimit(l.name, l.value)
		if f.ok("--"+l.name, l.value, suggestLimit(l.name, l.value), err) {
			d.limits[l.name] = flagItem("--"+l.name, l.value, v)
		}
	}
}
