package ssh

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/belljar-dev/belljar"
	"golang.org/x/crypto/ssh"
)

// Bounds of what a client may say of a session.
const (
	maxVariables = 64
	maxVariable  = 4 << 10
	maxTerm      = 64
	maxLine      = 128 << 10 // a command line; Linux takes no longer single word
)

var errMessage = errors.New("the message cannot be read")

// ptyRequest is the payload of pty-req (RFC 4254, 6.2). Modes are not looked at.
type ptyRequest struct {
	Term          string
	Cols, Rows    uint32
	Width, Height uint32
	Modes         string
}

// parsePTY reads a request for a terminal.
func parsePTY(b []byte) (term string, size belljar.WindowSize, err error) {
	var r ptyRequest
	if ssh.Unmarshal(b, &r) != nil || len(r.Term) > maxTerm || !plain(r.Term) {
		return "", size, errMessage
	}
	return r.Term, window(r.Cols, r.Rows), nil
}

// parseSize reads a change of the window's size (6.7).
func parseSize(b []byte) (belljar.WindowSize, error) {
	var r struct{ Cols, Rows, Width, Height uint32 }
	if ssh.Unmarshal(b, &r) != nil {
		return belljar.WindowSize{}, errMessage
	}
	return window(r.Cols, r.Rows), nil
}

func window(cols, rows uint32) belljar.WindowSize {
	return belljar.WindowSize{Rows: uint16(min(rows, 1<<16-1)), Cols: uint16(min(cols, 1<<16-1))}
}

// parseVariable reads a variable of the caller (6.4): only those that say how to speak
// and to print are taken over, never whatever else the caller's programs keep there.
func parseVariable(b []byte) (string, error) {
	var r struct{ Name, Value string }
	if ssh.Unmarshal(b, &r) != nil || len(r.Name)+len(r.Value) > maxVariable || strings.ContainsRune(r.Value, 0) {
		return "", errMessage
	}
	switch {
	case r.Name == "LANG", r.Name == "LANGUAGE", r.Name == "COLORTERM", r.Name == "GIT_PROTOCOL":
	case strings.HasPrefix(r.Name, "LC_") && plain(r.Name) && !strings.Contains(r.Name, "="):
	default:
		return "", errors.New("it is not taken over")
	}
	return r.Name + "=" + r.Value, nil
}

// plain says whether s is visible ASCII without spaces.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// parseText reads the one string of exec, subsystem and signal.
func parseText(b []byte) (string, error) {
	var r struct{ Text string }
	if ssh.Unmarshal(b, &r) != nil || len(r.Text) > maxLine || strings.ContainsRune(r.Text, 0) {
		return "", errMessage
	}
	return r.Text, nil
}

// parseTarget reads where a connection is to be forwarded to (7.2): the addresses to
// try, which are the sandbox's own loopback, and why there are none.
func parseTarget(b []byte) (to []netip.AddrPort, why string) {
	var r struct {
		Host   string
		Port   uint32
		Origin string
		From   uint32
	}
	if ssh.Unmarshal(b, &r) != nil || r.Port == 0 || r.Port > 1<<16-1 {
		return nil, errMessage.Error()
	}
	v4, v6 := netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()
	port := uint16(r.Port)
	switch strings.ToLower(r.Host) {
	case "localhost":
		return []netip.AddrPort{netip.AddrPortFrom(v4, port), netip.AddrPortFrom(v6, port)}, ""
	case "127.0.0.1":
		return []netip.AddrPort{netip.AddrPortFrom(v4, port)}, ""
	case "::1":
		return []netip.AddrPort{netip.AddrPortFrom(v6, port)}, ""
	}
	return nil, "connections are forwarded to the sandbox's own loopback only: localhost, 127.0.0.1 or ::1"
}

// signals are the names that SSH has for signals (6.9).
func signals() map[string]belljar.Signal {
	return map[string]belljar.Signal{
		"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "ABRT": 6, "FPE": 8, "KILL": 9, "USR1": 10,
		"SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15,
	}
}

// signalName is the name of a signal, "" where SSH has none.
func signalName(s belljar.Signal) string {
	for name, n := range signals() {
		if n == s {
			return name
		}
	}
	return ""
}
