package lockfile

import (
	"slices"
	"strings"
)

func startsDigit(s string) bool { return s == "" || s[0] >= '0' && s[0] <= '9' }

// yarn reads both forms of yarn.lock: entries begin in the first column.
func yarn(data string) Lock {
	var l Lock
	var p *Package
	for line := range strings.Lines(data) {
		line = strings.TrimRight(line, "\r\n")
		switch trimmed := strings.TrimSpace(line); {
		case trimmed == "" || trimmed[0] == '#':
		case line[0] != ' ' && line[0] != '\t':
			name, _, _ := strings.Cut(strings.TrimSuffix(trimmed, ":"), ",")
			l = append(l, Package{Name: scoped(strings.Trim(name, `"`))})
			p = &l[len(l)-1]
		case p == nil:
		default:
			key, value := field(trimmed)
			switch key {
			case "version":
				p.Version = value
			case "resolved":
				p.Source, _, _ = strings.Cut(value, "#")
			case "resolution":
				p.Source = protocol(value)
			case "integrity", "checksum":
				p.Sum = value
			}
		}
	}
	return slices.DeleteFunc(l, func(p Package) bool { return p.Version == "" || p.Name == "__metadata" })
}

// scoped is the name in name@range, where the name may begin with an at sign.
func scoped(s string) string {
	if i := strings.LastIndexByte(s[min(1, len(s)):], '@'); i >= 0 {
		if j := strings.IndexByte(s[1:], '@'); j >= 0 {
			i = j
		}
		return s[:i+1]
	}
	return s
}

// field splits "key value" and "key: value".
func field(s string) (key, value string) {
	key, value, _ = strings.Cut(s, " ")
	return strings.Trim(strings.TrimSuffix(key, ":"), `"`), strings.Trim(strings.TrimSpace(value), `"'`)
}

// protocol is where yarn 2 and later take name@protocol:rest from; npm is its own.
func protocol(resolution string) string {
	rest := strings.TrimPrefix(resolution, scoped(resolution)+"@")
	if strings.HasPrefix(rest, "npm:") {
		if _, archive, ok := strings.Cut(rest, "__archiveUrl="); ok {
			return archive
		}
		return ""
	}
	return rest
}

// pnpm reads the entries of packages: a name at the second level, what it is resolved
// to below.
func pnpm(data string) Lock {
	var l Lock
	in := false
	for line := range strings.Lines(data) {
		line = strings.TrimRight(line, "\r\n")
		trimmed := strings.TrimSpace(line)
		indent := len(line) - len(strings.TrimLeft(line, " "))
		switch {
		case trimmed == "" || trimmed[0] == '#':
		case indent == 0:
			in = trimmed == "packages:"
		case !in:
		case indent == 2:
			name := strings.Trim(strings.TrimSuffix(trimmed, ":"), `'"`)
			name, _, _ = strings.Cut(strings.TrimPrefix(name, "/"), "(")
			p := Package{Name: scoped(name)}
			p.Version = strings.TrimPrefix(strings.TrimPrefix(name, p.Name), "@")
			l = append(l, p)
		case len(l) > 0:
			resolved(&l[len(l)-1], trimmed)
		}
	}
	return l
}

// resolved reads "resolution: {integrity: …, tarball: …}" and its fields on lines of
// their own.
func resolved(p *Package, s string) {
	s = strings.TrimPrefix(s, "resolution:")
	for part := range strings.SplitSeq(strings.Trim(strings.TrimSpace(s), "{}"), ", ") {
		switch key, value := field(strings.TrimSpace(part)); key {
		case "integrity":
			p.Sum = value
		case "tarball", "repo", "directory":
			p.Source = value
		}
	}
}

// toml reads [[package]] tables as cargo, poetry and uv write them.
func toml(data string) Lock {
	var l Lock
	in := false
	for line := range strings.Lines(data) {
		line = strings.TrimSpace(line)
		switch {
		case line == "[[package]]":
			l, in = append(l, Package{}), true
		case line == "[package.source]" && in:
		case strings.HasPrefix(line, "["):
			in = false
		case in && len(l) > 0:
			tomlField(&l[len(l)-1], line)
		case strings.HasPrefix(line, "{ url = ") && len(l) > 0: // of uv's list of wheels
			address(&l[len(l)-1], line)
		}
	}
	return l
}

func tomlField(p *Package, line string) {
	key, value, _ := strings.Cut(line, "=")
	value = strings.TrimSpace(value)
	plain := strings.Trim(value, `"'`)
	switch strings.TrimSpace(key) {
	case "name":
		p.Name = plain
	case "version":
		p.Version = plain
	case "source":
		if inner, ok := strings.CutPrefix(value, "{"); ok {
			kind, rest, _ := strings.Cut(strings.TrimSuffix(inner, "}"), "=")
			plain = strings.Trim(strings.TrimSpace(rest), `"' `)
			if kind = strings.TrimSpace(kind); kind != "registry" && kind != "git" && kind != "url" {
				plain = kind + " " + plain
			}
		}
		p.Source = join(p.Source, plain)
	case "url":
		p.Source = join(p.Source, plain)
	case "checksum":
		p.Sum = plain
	case "sdist", "{ url":
		address(p, line)
	}
}

// address adds the host that an archive is loaded from to the package's source.
func address(p *Package, line string) {
	_, rest, ok := strings.Cut(line, `url = "`)
	if !ok {
		return
	}
	u, _, _ := strings.Cut(rest, `"`)
	p.Source = join(p.Source, Place(u))
	if _, sum, ok := strings.Cut(line, `hash = "`); ok && strings.HasPrefix(line, "sdist") {
		p.Sum, _, _ = strings.Cut(sum, `"`)
	}
}

// join gathers the places of one package, each once.
func join(all, one string) string {
	if all == "" || all == one {
		return one
	}
	parts := strings.Split(all, ", ")
	if slices.Contains(parts, one) || slices.Contains(parts, Place(one)) || len(parts) > 8 {
		return all
	}
	return all + ", " + one
}

// goSum reads go.sum: the place of a module is the host in its path.
func goSum(data string) Lock {
	var l Lock
	for line := range strings.Lines(data) {
		w := strings.Fields(line)
		if len(w) == 3 {
			l = append(l, Package{Name: w[0], Version: w[1], Source: "https://" + hostOf(w[0]), Sum: w[2]})
		}
	}
	return l
}

// goMod reads what go.mod requires, and what it replaces.
func goMod(data string) Lock {
	var l Lock
	block := ""
	for line := range strings.Lines(data) {
		line, _, _ = strings.Cut(line, "//")
		w := strings.Fields(line)
		switch {
		case len(w) == 0:
			continue
		case w[0] == ")":
			block = ""
			continue
		case len(w) == 2 && w[1] == "(":
			block = w[0]
			continue
		}
		verb := block
		if verb == "" {
			verb, w = w[0], w[1:]
		}
		switch at := slices.Index(w, "=>"); {
		case verb == "require" && len(w) >= 2:
			l = append(l, Package{Name: w[0], Version: w[1], Source: "https://" + hostOf(w[0])})
		case verb == "replace" && at > 0 && at+1 < len(w):
			l = append(l, Package{Name: w[0], Version: "(replaced)", Source: "replacement " + strings.Join(w[at+1:], " ")})
		case verb == "toolchain" && len(w) > 0:
			l = append(l, Package{Name: "toolchain", Source: "toolchain " + w[0]})
		}
	}
	return l
}

func hostOf(module string) string {
	host, _, _ := strings.Cut(module, "/")
	return host
}
