// Command belljar runs AI agents under glass. See the package documentation of
// github.com/belljar-dev/belljar and docs/architecture.md.
package main

import (
	"context"
	"io"
	"log"
	"os"

	"github.com/belljar-dev/belljar/backend/all"
	"github.com/belljar-dev/belljar/internal/cli"
)

func main() {
	// The same program plays several parts; each is recognised by its argv[0].
	if all.Reexec(os.Args) || cli.Reexec(os.Args) {
		return
	}
	log.SetOutput(io.Discard) // net/http prints there what a server sent
	app := &cli.App{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Backends: all.Backends()}
	os.Exit(app.Main(context.Background(), os.Args[1:]))
}
