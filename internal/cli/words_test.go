package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// say runs a command line that reads nothing of this host.
func say(t *testing.T, args ...string) (status int, out, errout string) {
	t.Helper()
	dir := t.TempDir()
	files := make([]*os.File, 2)
	for i := range files {
		f, err := os.Create(filepath.Join(dir, string(rune('a'+i))))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	a := &App{In: nil, Out: files[0], Err: files[1]}
	status = a.Main(context.Background(), args)
	read := func(f *os.File) string {
		b, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	return status, read(files[0]), read(files[1])
}

// TestWrongWords: what is wrong, in our words, and how it is right.
func TestWrongWords(t *testing.T) {
	for line, want := range map[string]string{
		"frob":                   "error: belljar has no command \"frob\"\nhint: belljar --help lists the commands",
		"dif":                    "error: belljar has no command \"dif\"\nhint: did you mean belljar diff?",
		"sh":                     "error: belljar has no command \"sh\"\nhint: did you mean belljar shell?",
		"version":                "error: belljar has no command \"version\"\nhint: belljar --version prints the version",
		"help frob":              "error: belljar has no command \"frob\"\nhint: belljar --help lists the commands",
		"help log frob":          "error: belljar log has no command \"frob\"\nhint: there is: claims, summary, verify",
		"completion frob":        "error: belljar completion has no command \"frob\"\nhint: there is: bash, fish, powershell, zsh",
		"run":                    "error: no command to run\nhint: belljar run -- COMMAND, for example: belljar run claude",
		"run --frob ls":          "error: belljar run has no flag --frob\nhint: belljar run --help lists the flags; those of COMMAND come behind it",
		"run --memry 1GiB ls":    "error: belljar run has no flag --memry\nhint: did you mean --memory?",
		"run --no-tty ls":        "error: --no-tty is for --detach\nhint: in the foreground the command has a terminal where you have one: redirect its output",
		"exec box":               "error: which sandbox, and which command?\nhint: usage: belljar exec [flags] NAME [--] COMMAND [ARG…]",
		"exec --env X box true":  "error: --env \"X\" has no value\nhint: --env NAME=VALUE: nothing of your own environment is handed on",
		"exec --dir tmp box ls":  "error: --dir \"tmp\" is not absolute\nhint: name the folder as it is called inside",
		"stop":                   "error: NAME is missing\nhint: usage: belljar stop NAME… [flags]",
		"prune frob":             "error: \"frob\" is nothing that is kept\nhint: there is: homes, sandboxes, caches, output, records",
		"start box ls":           "error: belljar start: unexpected \"ls\"\nhint: COMMAND comes behind --: belljar start box -- ls",
		"start --no-tty":         "error: NAME is missing\nhint: usage: belljar start [flags] NAME [--] [COMMAND…]",
		"shell --mode live box":  "error: flags are for a new sandbox, and box is one that runs\nhint: leave them out; belljar exec has flags of its own",
		"run --name start ls":    "error: --name start is a word of the command line\nhint: choose another name",
		"run --name":             "error: --name needs a value: --name NAME\nhint: usage: belljar run [flags] [--] COMMAND [ARG…]",
		"run -x ls":              "error: belljar run has no flag -x\nhint: belljar run --help lists the flags; those of COMMAND come behind it",
		"run --best-effort=3 ls": "error: \"3\" is no value for that flag: it is true or false\nhint: usage: belljar run [flags] [--] COMMAND [ARG…]",
		"run --name Foo ls":      "error: --name \"Foo\" is no name for a sandbox\nhint: lower-case letters, digits and dashes, at most 31, a letter first",
		"run --name exec ls":     "error: --name exec is a word of the command line\nhint: choose another name",
		"log --kind x":           "error: unknown kind of event \"x\"\nhint: the kinds are: start, plan, exec, exit, connect, request, refuse, take, ask, answer, judge, file, limit, sampled, publish, terminal, segment, end",
		"log verfy x":            "error: belljar log has no command \"verfy\"\nhint: did you mean belljar log verify?",
		"log a b":                "error: belljar log: unexpected \"b\"\nhint: usage: belljar log [NAME] [flags]",
		"frob --help":            "error: belljar has no command \"frob\"\nhint: belljar --help lists the commands",
		"log verfy --help":       "error: belljar log has no command \"verfy\"\nhint: did you mean belljar log verify?",
		"policy chek":            "error: belljar policy has no command \"chek\"\nhint: did you mean belljar policy check?",
		"policy frob":            "error: belljar policy has no command \"frob\"\nhint: there is: check, diff, explain, learn, schema, show",
		"doctor x":               "error: belljar doctor: unexpected \"x\"\nhint: usage: belljar doctor [flags]",
		"man":                    "error: DIR is missing\nhint: usage: belljar man DIR [flags]",
		"policy explain":         "error: KIND and SUBJECT are missing\nhint: usage: belljar policy explain [flags] KIND SUBJECT",
		"policy explain host":    "error: SUBJECT is missing\nhint: usage: belljar policy explain [flags] KIND SUBJECT",
	} {
		status, out, errout := say(t, strings.Fields(line)...)
		if got := strings.ReplaceAll(strings.TrimSpace(errout), "belljar: ", ""); status != 2 || out != "" || got != want {
			t.Errorf("belljar %s: status %d, printed %q and\n%s\nwant\n%s", line, status, out, got, want)
		}
	}
}

// TestHelp: every command says what it is for, and prints that on standard output.
func TestHelp(t *testing.T) {
	root := (&App{}).root()
	for _, c := range root.Commands() {
		for _, sub := range append(c.Commands(), c) {
			path := strings.Fields(sub.CommandPath())[1:]
			status, out, errout := say(t, append([]string{"help"}, path...)...)
			if status != 0 || errout != "" || !strings.Contains(out, sub.CommandPath()) || sub.Short == "" {
				t.Errorf("help of %s: status %d\n%s%s", sub.CommandPath(), status, out, errout)
			}
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"run", "diff", "apply", "discard", "log"}
	for in, want := range map[string]string{
		"dif": "diff", "idff": "diff", "aply": "apply", "dis": "discard", "lgo": "log", "x": "", "": "", "frobnicate": "", "logs": "log", "ruin": "run",
	} {
		if got := nearest(in, words); got != want {
			t.Errorf("nearest(%q) = %q, want %q", in, got, want)
		}
	}
}
