// Package guest is the helper that runs inside a sandbox, where something has to
// be done that only a process inside can do: hold the master of a pseudo terminal,
// and listen on ports of the loopback that the policy relays to the host's.
//
// It is this same program, bound read-only into the sandbox and started in place
// of the command, which becomes its child; or it is the command itself, which connects
// to the loopback for whoever started it ([belljar.HelperConnect]). It has no rights that the command does
// not have, and the supervisor believes nothing that it says: it only obeys [Order]s.
//
// # Limitations
//
// An anchor ([Anchor]) is killed as any process; then the sandbox ends.
//
// The command may kill it (they have the same identity), which ends the command's
// terminal, and the sandbox where the helper is its first process.
package guest

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"

	"github.com/belljar-dev/belljar"
)

// Path is where the helper lies inside, and its argv[0]. Agents run it as their hook.
const Path = belljar.HelperPath

// FDControl is the socket on which orders arrive.
const FDControl = 3

// anchorMode is the argument of a helper that keeps a sandbox and runs nothing.
const anchorMode = "anchor"

// Anchor is a command that keeps a sandbox and runs nothing.
func Anchor() *belljar.Command {
	return &belljar.Command{Exec: belljar.Exec{Path: Path, Argv: []string{Path, anchorMode}, Dir: "/"}}
}

// A Start says what the helper is to do.
type Start struct {
	TTY        bool
	Rows, Cols uint16
	Listen     []uint16 // ports of the loopback to relay to Relay
	Relay      string   // address
	Path       string   // the command
	Argv       []string
}

// Args is the helper's own argument vector.
func (s *Start) Args() []string {
	mode := "-"
	if s.TTY {
		mode = strconv.Itoa(int(s.Rows)) + "x" + strconv.Itoa(int(s.Cols))
	}
	ports := make([]string, len(s.Listen))
	for i, p := range s.Listen {
		ports[i] = strconv.Itoa(int(p))
	}
	listen := "-"
	if len(ports) > 0 {
		listen = s.Relay + "/" + strings.Join(ports, ",")
	}
	return append([]string{Path, mode, listen, s.Path}, s.Argv...)
}

// Parse is the reverse of [Start.Args].
func Parse(args []string) (*Start, error) {
	bad := errors.New("wrong arguments")
	if len(args) < 5 || args[0] != Path {
		return nil, bad
	}
	s := &Start{Path: args[3], Argv: args[4:]}
	if args[1] != "-" {
		rows, cols, ok := strings.Cut(args[1], "x")
		r, err1 := strconv.ParseUint(rows, 10, 16)
		c, err2 := strconv.ParseUint(cols, 10, 16)
		if !ok || err1 != nil || err2 != nil {
			return nil, bad
		}
		s.TTY, s.Rows, s.Cols = true, uint16(r), uint16(c)
	}
	if args[2] == "-" {
		return s, nil
	}
	relay, ports, ok := strings.Cut(args[2], "/")
	if !ok {
		return nil, bad
	}
	s.Relay = relay
	for p := range strings.SplitSeq(ports, ",") {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return nil, bad
		}
		s.Listen = append(s.Listen, uint16(n))
	}
	return s, nil
}

// An Order is what the supervisor asks of a running helper.
type Order struct {
	Kind OrderKind
	A, B uint16
}

// OrderKind names an [Order].
type OrderKind byte

// The orders.
const (
	OrderResize OrderKind = 'r' // A rows, B columns
	OrderSignal OrderKind = 's' // signal A to the foreground group, or to the command
)

// OrderSize is the length of an encoded order.
const OrderSize = 5

// Encode encodes o.
func (o Order) Encode() []byte {
	b := append(make([]byte, 0, OrderSize), byte(o.Kind))
	b = binary.LittleEndian.AppendUint16(b, o.A)
	return binary.LittleEndian.AppendUint16(b, o.B)
}

// Decode decodes an order of [OrderSize] bytes.
func Decode(b []byte) (Order, error) {
	if len(b) != OrderSize {
		return Order{}, errors.New("wrong length")
	}
	return Order{OrderKind(b[0]), binary.LittleEndian.Uint16(b[1:]), binary.LittleEndian.Uint16(b[3:])}, nil
}
