//go:build tools

// Package pins keeps the versions of dependencies until their users arrive.
package pins

import (
	_ "github.com/creack/pty"
	_ "github.com/go-git/go-git/v5"
	_ "github.com/goccy/go-yaml"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/hanwen/go-fuse/v2/fuse"
	_ "github.com/invopop/jsonschema"
	_ "github.com/landlock-lsm/go-landlock/landlock"
	_ "github.com/miekg/dns"
	_ "github.com/opencontainers/runtime-spec/specs-go"
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "github.com/spf13/cobra"
	_ "github.com/spf13/cobra/doc"
	_ "go.uber.org/goleak"
	_ "golang.org/x/net/idna"
	_ "golang.org/x/net/publicsuffix"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/sys/unix"
	_ "golang.org/x/term"
	_ "golang.org/x/text/unicode/norm"
	_ "gvisor.dev/gvisor/pkg/seccomp"
	_ "gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	_ "gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	_ "gvisor.dev/gvisor/runsc/cli"
	_ "gvisor.dev/gvisor/runsc/cmd"
	_ "gvisor.dev/gvisor/runsc/cmd/sentry/sentrycmd"
	_ "gvisor.dev/gvisor/runsc/container"
)
