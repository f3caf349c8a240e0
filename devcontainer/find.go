package devcontainer

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/belljar-dev/belljar"
)

// maxFile bounds the file, in bytes.
const maxFile = 1 << 20

// Find is the devcontainer.json of a project, relative to it: the first of
// .devcontainer/devcontainer.json, .devcontainer.json and the only
// .devcontainer/FOLDER/devcontainer.json. None, and several of the last kind, are an error
// ([belljar.KindUsage]).
func Find(root *os.Root) (string, error) {
	for _, name := range []string{".devcontainer/devcontainer.json", ".devcontainer.json"} {
		if fi, err := root.Stat(name); err == nil && !fi.IsDir() {
			return name, nil
		}
	}
	var found []string
	if d, err := root.Open(".devcontainer"); err == nil {
		names, _ := d.Readdirnames(1000)
		_ = d.Close()
		slices.Sort(names)
		for _, n := range names {
			name := path.Join(".devcontainer", n, "devcontainer.json")
			if fi, err := root.Stat(name); err == nil && !fi.IsDir() {
				found = append(found, name)
			}
		}
	}
	switch len(found) {
	case 0:
		return "", &belljar.Error{
			Op: "find devcontainer.json", ID: root.Name(), Kind: belljar.KindUsage, Err: errors.New("the project has none"),
			Hint: "it is looked for in .devcontainer/ and as .devcontainer.json; or run without --devcontainer",
		}
	case 1:
		return found[0], nil
	}
	return "", &belljar.Error{
		Op: "find devcontainer.json", ID: root.Name(), Kind: belljar.KindUsage,
		Err: fmt.Errorf("there are several: %s", strings.Join(found, ", ")), Hint: "name one: --devcontainer=FILE",
	}
}

// load reads the bytes of a file of the project; a link that leaves it is refused.
func load(root *os.Root, name string) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, &belljar.Error{Op: "read", ID: filepath.Join(root.Name(), name), Kind: belljar.KindUsage, Err: err, Hint: "--devcontainer takes a regular file of the project of at most 1 MiB"}
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return fail(cmp.Or(err, errors.New("it is no regular file")))
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = errors.New("it has more than 1 MiB")
	}
	if err != nil {
		return fail(err)
	}
	return b, nil
}
