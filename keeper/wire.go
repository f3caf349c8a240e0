package keeper

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/belljar-dev/belljar/credential/login"
)

const (
	maxRequest = 16 << 10
	maxReply   = 4 << 20 // a stand-in file is in one
)

// A request is one line of JSON.
type request struct {
	Op    string `json:"op"` // opToken or opStandIn
	Login string `json:"login"`
	File  string `json:"file"`            // absolute
	Stale string `json:"stale,omitempty"` // Hash of an access token that was not accepted
}

const (
	opToken   = "token"
	opStandIn = "stand-in"
)

// A reply is one line of JSON.
type reply struct {
	Token   string       `json:"token,omitempty"`
	Expires int64        `json:"expires,omitempty"` // Unix milliseconds; 0: nobody knows
	Stand   *login.Stand `json:"stand,omitempty"`
	Error   string       `json:"error,omitempty"` // one sentence without a period
}

// Hash is what names an access token to the keeper.
func Hash(token string) string {
	s := sha256.Sum256([]byte(token))
	return hex.EncodeToString(s[:])
}

// readLine reads a line of at most most bytes, without its end.
func readLine(r *bufio.Reader, most int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > most {
			return nil, fmt.Errorf("a message of more than %d KiB", most>>10)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			if err == io.EOF && len(line) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// parseRequest reads and checks a request.
func parseRequest(line []byte) (request, *login.Kind, error) {
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return r, nil, errors.New("the request is no JSON")
	}
	k := login.Find(r.Login)
	switch {
	case r.Op != opToken && r.Op != opStandIn:
		return r, nil, errors.New("no such request")
	case k == nil:
		return r, nil, errors.New("no login of that name is known")
	case !filepath.IsAbs(r.File) || filepath.Clean(r.File) != r.File || filepath.Base(r.File) != filepath.Base(k.File):
		return r, nil, errors.New("that is no login file")
	case r.Stale != "" && len(r.Stale) != hex.EncodedLen(sha256.Size):
		return r, nil, errors.New("that names no token")
	}
	return r, k, nil
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
