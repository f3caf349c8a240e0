package belljar

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/belljar-dev/belljar"

// sources parses every Go file of the module, by package folder.
func sources(t *testing.T, tests bool) (map[string][]*ast.File, *token.FileSet) {
	t.Helper()
	fset := token.NewFileSet()
	pkgs := map[string][]*ast.File{}
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") || !tests && strings.HasSuffix(p, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		pkgs[filepath.ToSlash(filepath.Dir(p))] = append(pkgs[filepath.ToSlash(filepath.Dir(p))], f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pkgs, fset
}

// TestDocs: every package and every exported name says what it guarantees.
func TestDocs(t *testing.T) {
	pkgs, fset := sources(t, false)
	for dir, files := range pkgs {
		documented := false
		for _, f := range files {
			documented = documented || f.Doc != nil
			for _, d := range f.Decls {
				checkDoc(t, fset, d)
			}
		}
		if !documented {
			t.Errorf("%s: the package has no doc comment", dir)
		}
	}
}

func checkDoc(t *testing.T, fset *token.FileSet, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && exportedReceiver(d) && d.Doc == nil {
			t.Errorf("%s: %s has no doc comment", fset.Position(d.Pos()), d.Name.Name)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					t.Errorf("%s: type %s has no doc comment", fset.Position(s.Pos()), s.Name.Name)
				}
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if n.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
						t.Errorf("%s: %s has no doc comment", fset.Position(s.Pos()), n.Name)
					}
				}
			}
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	x := d.Recv.List[0].Type
	if s, ok := x.(*ast.StarExpr); ok {
		x = s.X
	}
	id, ok := x.(*ast.Ident)
	return ok && id.IsExported()
}

// layers says what each package may import of this module, with the reason. A
// package that is not listed may import nothing of it but the root.
var layers = map[string]struct {
	may []string
	why string
}{
	"cmd/belljar":          {[]string{"backend/all", "internal/cli", "internal/early"}, "main only dispatches"},
	"internal/cli":         {[]string{"*"}, "the outermost layer; still no tier by name"},
	"internal/e2e":         {[]string{"*"}, "tests of the whole program"},
	"sandbox":              {[]string{"plan", "policy", "workspace", "workspace/*", "gateway", "approval", "api", "credential", "event", "event/otlp", "judge", "limit", "notify", "terminal", "internal/*"}, "the supervisor joins the parts; the backend reaches it as an interface"},
	"plan":                 {[]string{"policy", "limit", "workspace/rules", "workspace/worktree", "internal/*"}, "a plan is made from a policy and facts, prints limits as limit does, explains names as the view judges them, and knows where worktrees lie"},
	"policy":               {[]string{"internal/glob", "internal/links", "internal/secrets", "internal/spell", "judge/pattern"}, "a policy knows nothing of what carries it out; patterns of commands are checked as they are matched"},
	"judge":                {[]string{"judge/*"}, "the judge reads text and knows neither files nor policies' layers"},
	"judge/*":              {[]string{"judge/*"}, "parts of the judge"},
	"judge/claims":         {[]string{"judge/*", "event", "terminal"}, "what was executed is read from the record"},
	"limit":                {nil, "pure decisions"},
	"terminal":             {[]string{"internal/ablate"}, "used by everything that prints"},
	"ssh":                  {[]string{"terminal"}, "speaks SSH, and knows a sandbox only as what starts commands; what it prints is escaped"},
	"event":                {[]string{"terminal", "event/internal/*", "internal/inherited"}, "the record is shown escaped; a process that was started ahead signs its start"},
	"event/internal/early": {[]string{"internal/ahead"}, "the signer is started while the program is initialised"},
	"event/internal/sign":  {[]string{"event/internal/early", "internal/inherited"}, "the signer runs before the rest of the program is initialised"},
	"notify":               {[]string{"terminal", "internal/*"}, "what is told is escaped; the notifier confines itself"},
	"event/otlp":           {[]string{"event", "internal/*"}, "what is sent is read from the record; the sender confines itself"},
	"evidence":             {[]string{"event"}, "evidence is about a record, and offline"},
	"keeper":               {[]string{"credential/login", "internal/*", "terminal"}, "the keeper knows logins, and no sandbox"},
	"credential/login":     {nil, "pure: what agents and providers write"},
	"credential":           {[]string{"internal/ablate", "internal/inherited", "internal/links", "terminal"}, "keys know neither the policy's files nor the network; what a command says is shown escaped"},
	"gateway":              {[]string{"gateway/*", "internal/*", "credential", "credential/login", "approval"}, "the gateway asks a decider and knows no policy file; keys are put in and taken out by their own package, and what waits for an answer waits in its own queue"},
	"approval":             {nil, "one queue for everything that asks"},
	"api":                  {[]string{"approval", "internal/*"}, "server and client of the same types; what they speak of is told by an interface"},
	"gateway/*":            {[]string{"gateway/*", "internal/*"}, "parts of the gateway"},
	"workspace":            {[]string{"workspace/*", "internal/*", "terminal"}, "review works on the shadow and does not know the tier"},
	"workspace/*":          {[]string{"workspace/*", "internal/*"}, "parts of the workspace"},
	"verify":               {[]string{"internal/*", "terminal"}, "the attacks start sandboxes through an interface only"},
	"backend/all":          {[]string{"backend/*"}, "the only list of tiers"},
	"backend/backendtest":  {[]string{"internal/*", "workspace/view", "workspace/rules"}, "the suite knows tiers only as interfaces"},
	"backend/*":            {[]string{"internal/*", "backend/internal/*", "backend/backendtest"}, "a backend knows neither policy, gateway, sandbox nor another backend"},
	"internal/bench":       {[]string{"credential", "event", "gateway", "gateway/*", "internal/*"}, "measures the gateway beside other proxies"},
	"internal/*":           {[]string{"internal/*"}, "small helpers"},
}

// TestLayers: imports point inward.
func TestLayers(t *testing.T) {
	pkgs, _ := sources(t, false)
	for dir, files := range pkgs {
		rule := layers[dir]
		if _, ok := layers[dir]; !ok {
			rule = layers[strings.SplitN(dir, "/", 2)[0]+"/*"]
		}
		for _, f := range files {
			for _, im := range f.Imports {
				p, _ := strconv.Unquote(im.Path.Value)
				rel, ours := strings.CutPrefix(p, module+"/")
				if !ours || tierOf(dir) != "" && tierOf(dir) == tierOf(rel) || slices.ContainsFunc(rule.may, func(m string) bool { return covers(m, rel) }) {
					continue
				}
				if dir == "." {
					t.Errorf("the root package imports %s: it imports the standard library only", p)
					continue
				}
				t.Errorf("%s imports %s: not allowed (%s)", dir, rel, rule.why)
			}
		}
	}
}

// tierOf is the folder of the tier that a package belongs to, "" for none.
func tierOf(path string) string {
	p := strings.Split(path, "/")
	if len(p) < 2 || p[0] != "backend" || p[1] == "all" || p[1] == "backendtest" {
		return ""
	}
	return p[1]
}

func covers(pattern, path string) bool {
	if p, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(path, p)
	}
	return pattern == path
}

// TestRootImports: the nouns depend on nothing but the standard library.
func TestRootImports(t *testing.T) {
	pkgs, fset := sources(t, false)
	for _, f := range pkgs["."] {
		for _, im := range f.Imports {
			if p, _ := strconv.Unquote(im.Path.Value); strings.Contains(strings.SplitN(p, "/", 2)[0], ".") {
				t.Errorf("%s imports %s", fset.Position(im.Pos()), p)
			}
		}
	}
}

// TestTierNames: only backends and their list know a tier by name; adding one
// costs its folder, one line and a page.
func TestTierNames(t *testing.T) {
	tier := regexp.MustCompile(`(?i)gvisor|\bnative\b|runsc`)
	pkgs, fset := sources(t, false)
	for dir, files := range pkgs {
		if strings.HasPrefix(dir, "backend/") || dir == "internal/pins" {
			continue
		}
		for _, f := range files {
			imported := map[*ast.BasicLit]bool{}
			for _, im := range f.Imports {
				imported[im.Path] = true
			}
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.BasicLit:
					if n.Kind == token.STRING && !imported[n] && tier.MatchString(n.Value) {
						t.Errorf("%s: names a tier: %s", fset.Position(n.Pos()), n.Value)
					}
				case *ast.Ident:
					if tier.MatchString(n.Name) {
						t.Errorf("%s: names a tier: %s", fset.Position(n.Pos()), n.Name)
					}
				}
				return true
			})
		}
	}
}

// TestNoHostGit: belljar never runs git, nor a shell, on the host: a hostile
// repository would run with it. Programs that plan may ask are listed.
func TestNoHostGit(t *testing.T) {
	allowed := map[string]string{
		"credential":     "runs what the user's policy names as the source of a credential, in / and without a shell",
		"workspace/view": "starts this very program again as the file server",
		"keeper":         "starts this very program again as the keeper, and as what replaces one token",
		"internal/self":  "starts this very program again as a process of belljar's own",
		"internal/cli":   "starts this very program again: as the supervisor of a detached run, and once per sandbox of run -n",
		"internal/bench": "times other programs on trees that it made itself",
		"verify":         "starts itself; runs git and other programs on decoys only, in throw-away namespaces without network",
		"plan":           "asks npm and go for the user's own registries, in / with an empty environment",
	}
	pkgs, fset := sources(t, false)
	for dir, files := range pkgs {
		for _, f := range files {
			for _, im := range f.Imports {
				if im.Path.Value == `"os/exec"` && allowed[dir] == "" && !strings.HasSuffix(dir, "test") && dir != "internal/testenv" {
					t.Errorf("%s: imports os/exec; say here why it may start programs", fset.Position(im.Pos()))
				}
			}
			ast.Inspect(f, func(n ast.Node) bool {
				l, ok := n.(*ast.BasicLit)
				if ok && l.Kind == token.STRING && (l.Value == `"git"` || l.Value == `"/usr/bin/git"`) && startsProgram(f, l) {
					t.Errorf("%s: runs git on the host", fset.Position(l.Pos()))
				}
				return true
			})
		}
	}
}

// TestNoEarlyPatterns: every process of ours would compile what few of them match.
func TestNoEarlyPatterns(t *testing.T) {
	pkgs, fset := sources(t, false)
	for _, files := range pkgs {
		for _, f := range files {
			for _, d := range f.Decls {
				g, ok := d.(*ast.GenDecl)
				if !ok || g.Tok != token.VAR {
					continue
				}
				ast.Inspect(g, func(n ast.Node) bool {
					if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "MustCompile" {
						t.Errorf("%s: compiled when the program starts; use sync.OnceValue", fset.Position(n.Pos()))
					}
					_, later := n.(*ast.FuncLit)
					return !later
				})
			}
		}
	}
}

// startsProgram says whether l is an argument of a call of exec.Command or its kin.
func startsProgram(f *ast.File, l *ast.BasicLit) bool {
	found := false
	ast.Inspect(f, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		s, ok := c.Fun.(*ast.SelectorExpr)
		if ok && slices.Contains([]string{"Command", "CommandContext", "StartProcess", "Exec", "ForkExec", "LookPath"}, s.Sel.Name) {
			for _, a := range c.Args {
				found = found || a == ast.Expr(l)
			}
		}
		return true
	})
	return found
}

// TestTidy: go.mod says exactly what is used.
func TestTidy(t *testing.T) {
	if out, err := exec.Command("go", "mod", "tidy", "-diff").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestDarwin: the same tree builds where no tier exists yet.
func TestDarwin(t *testing.T) {
	for _, verb := range []string{"build", "vet"} {
		c := exec.Command("go", verb, "./...")
		c.Env = append(os.Environ(), "GOOS=darwin", "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("go %s: %v\n%s", verb, err, out)
		}
	}
}

// TestTrees: nothing in the repository names the place where it was written.
func TestNoPlaces(t *testing.T) {
	if _, err := os.Stat(".git"); err != nil {
		t.Skip("not a git checkout")
	}
	out, err := exec.Command("git", "ls-files", "-z").Output()
	if err != nil {
		t.Skipf("git cannot list the files: %v", err)
	}
	bad := regexp.MustCompile(`registry\.npmjs\.` + `org|proxy\.golang\.` + `org|/work/(main|shared)`)
	for _, p := range strings.Split(strings.TrimRight(string(out), "\x00"), "\x00") {
		b, err := os.ReadFile(p)
		if err != nil || bytes.IndexByte(b, 0) >= 0 {
			continue
		}
		if m := bad.Find(b); m != nil {
			t.Errorf("%s contains %q", p, m)
		}
	}
}
