package git

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
)

// RefsFor reads the query of a request for info/refs: which service the references are
// asked for. Only git's own spelling is one.
func RefsFor(query string) (belljar.GitService, error) {
	switch service, ok := strings.CutPrefix(query, "service="); {
	case ok && service == string(belljar.GitFetch):
		return belljar.GitFetch, nil
	case ok && service == string(belljar.GitPush):
		return belljar.GitPush, nil
	case !strings.Contains(query, "service="):
		return "", errors.New("the dumb protocol is not allowed, git's smart HTTP is")
	}
	return "", errors.New("git asks for the references of one service, and for nothing else")
}

// CheckProtocol says what is wrong with the Git-Protocol header of a request.
func CheckProtocol(values []string) error {
	if len(values) == 0 || len(values) == 1 && slices.Contains([]string{"version=0", "version=1", "version=2"}, values[0]) {
		return nil
	}
	return errors.New("an unknown version of git's protocol")
}

// ReadFetch reads the first line of a fetch from r and says whether it is one; v2 is
// protocol version 2. What was read is returned in a form that can be sent.
func ReadFetch(r *bufio.Reader, v2 bool) (head []byte, err error) {
	kind, data, err := readPkt(r, func(n int) ([]byte, error) {
		if n > 4<<10 {
			return nil, ErrPkt
		}
		return make([]byte, n), nil
	})
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("an empty fetch")
	case err != nil:
		return nil, err
	case kind == pktFlush:
		return []byte("0000"), nil
	case kind != pktData:
		return nil, ErrPkt
	}
	line := strings.TrimSuffix(string(data), "\n")
	command, isCommand := strings.CutPrefix(line, "command=")
	switch {
	case isCommand && v2 && slices.Contains([]string{"ls-refs", "fetch", "object-info", "bundle-uri"}, command):
	case isCommand:
		return nil, fmt.Errorf("an unknown command of git's protocol: %s", printable(command))
	case strings.HasPrefix(line, "want ") || strings.HasPrefix(line, "shallow ") || strings.HasPrefix(line, "deepen") || strings.HasPrefix(line, "filter "):
		if v2 {
			return nil, errors.New("a fetch without a command")
		}
	default:
		return nil, errors.New("not a fetch")
	}
	return appendPkt(nil, string(data)), nil
}

// FetchError is the answer to a fetch that is refused: git prints the words.
func FetchError(words string) []byte { return appendPkt(nil, "ERR "+words+"\n") }

// CheckLFS says what is wrong with a request for places of large files: only
// downloads are asked for, in a body that every server reads in the same way.
func CheckLFS(body []byte) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("a malformed request of git-lfs")
	}
	operation := ""
	for d.More() {
		key, err := d.Token()
		name, ok := key.(string)
		if err != nil || !ok {
			return errors.New("a malformed request of git-lfs")
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return errors.New("a malformed request of git-lfs")
		}
		if !strings.EqualFold(name, "operation") {
			continue
		}
		if operation != "" || name != "operation" {
			return errors.New("a request of git-lfs that names its operation twice")
		}
		operation = string(value)
	}
	if _, err := d.Token(); err != nil {
		return errors.New("a malformed request of git-lfs")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("a malformed request of git-lfs")
	}
	if operation != `"download"` {
		return errors.New("large files (git-lfs) are not uploaded from a sandbox")
	}
	return nil
}
