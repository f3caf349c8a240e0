package agenthook

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
)

// patience is how long the hook waits for the gateway, which waits for people.
const patience = 150 * time.Second

// maxReply bounds what is read of the gateway's answer.
const maxReply = 64 << 10

// Main is the hook inside a sandbox: args are those behind [Word]. It returns the exit status,
// always 0: agents take another one for a fault of the hook, with which they go on.
func Main(args []string, in io.Reader, out io.Writer) int {
	agent := ""
	if len(args) > 0 {
		agent = args[0]
	}
	v := verdict(agent, in)
	_, _ = out.Write(Answer(agent, v))
	return 0
}

func verdict(agent string, in io.Reader) Verdict {
	b, err := io.ReadAll(io.LimitReader(in, MaxInput+1))
	if err != nil {
		return refusal("what the agent told its hook broke off")
	}
	c, err := Read(agent, b)
	if err != nil {
		return refusal("what the agent told its hook could not be read: " + err.Error())
	}
	d := net.Dialer{Timeout: 10 * time.Second}
	conn, err := d.Dial("tcp", net.JoinHostPort(belljar.GatewayIPv4.String(), "80"))
	if err != nil {
		return refusal("nobody could be asked about this line: " + err.Error())
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	v, err := submit(conn, c)
	if err != nil {
		return refusal("nobody answered about this line: " + err.Error())
	}
	return v
}

// refusal says no where nobody said anything: what cannot be judged does not run.
func refusal(why string) Verdict { return Verdict{Reason: why + "; try it again later"} }

// submit sends a call over a connection to the gateway's page and reads the verdict. It
// speaks HTTP by itself: it runs before most of the program is there.
func submit(conn io.ReadWriter, c Call) (Verdict, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return Verdict{}, err
	}
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		Page, belljar.PolicyHost, len(body), body)
	if err != nil {
		return Verdict{}, err
	}
	return readVerdict(conn)
}

func readVerdict(r io.Reader) (v Verdict, err error) {
	br := bufio.NewReader(io.LimitReader(r, maxReply))
	length := -1
	for first := true; ; first = false {
		line, err := br.ReadString('\n')
		if err != nil {
			return v, errors.New("the answer broke off")
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		if first && !strings.HasPrefix(line, "HTTP/1.1 200 ") {
			return v, errors.New(line)
		}
		if strings.EqualFold(name, "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil || length > maxReply {
				return v, errors.New("the answer has no length")
			}
		}
	}
	if length < 0 {
		return v, errors.New("the answer has no length")
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(br, body); err != nil {
		return v, errors.New("the answer broke off")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&v); err != nil {
		return v, errors.New("the answer is none")
	}
	return v, nil
}

// Reexec plays the hook where args, of the program at [Program], say so, and then never returns.
func Reexec(args []string) bool {
	if len(args) < 2 || args[0] != Program || args[1] != Word {
		return false
	}
	os.Exit(Main(args[2:], os.Stdin, os.Stdout))
	return true
}
