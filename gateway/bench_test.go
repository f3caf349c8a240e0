package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

// bulk moves total bytes over a connection and returns bytes per second.
func bulk(b *testing.B, c net.Conn, down bool, total int64) float64 {
	b.Helper()
	start := time.Now()
	cmd := "u"
	if down {
		cmd = "d"
	}
	if _, err := fmt.Fprintf(c, "%s%d\n", cmd, total); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 128<<10)
	if down {
		if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(c, total), buf); n != total {
			b.Fatal(n, err)
		}
	} else {
		for left := total; left > 0; {
			n, err := c.Write(buf[:min(left, int64(len(buf)))])
			if err != nil {
				b.Fatal(err)
			}
			left -= int64(n)
		}
		if _, err := io.ReadFull(c, buf[:1]); err != nil {
			b.Fatal(err)
		}
	}
	return float64(total) / time.Since(start).Seconds()
}

// sink serves "d<n>" by sending n bytes, "u<n>" by taking them and "p" lines by
// answering them.
func sink(c net.Conn) {
	br := bufio.NewReaderSize(c, 256<<10)
	buf := make([]byte, 256<<10)
	for {
		l, err := br.ReadString('\n')
		if err != nil {
			return
		}
		var n int64
		switch {
		case l[0] == 'p':
			if _, err := io.WriteString(c, l); err != nil {
				return
			}
		case l[0] == 'd':
			_, _ = fmt.Sscanf(l[1:], "%d", &n)
			for n > 0 {
				k, err := c.Write(buf[:min(n, int64(len(buf)))])
				if err != nil {
					return
				}
				n -= int64(k)
			}
		case l[0] == 'u':
			_, _ = fmt.Sscanf(l[1:], "%d", &n)
			if _, err := io.CopyN(io.Discard, br, n); err != nil {
				return
			}
			_, _ = c.Write([]byte("k"))
		}
	}
}

func ends(b *testing.B) (inside, direct net.Conn) {
	w := newWorld(b, belljar.Network{Rules: []belljar.NetRule{rule("bulk.example.com", 9)}})
	w.raw("bulk.example.com", "93.184.216.34:9", sink)
	in, err := w.dial("bulk.example.com", 9)
	if err != nil {
		b.Fatal(err)
	}
	w.mu.Lock()
	at := w.servers["93.184.216.34:9"]
	w.mu.Unlock()
	direct, err = net.Dial("tcp", netip.MustParseAddrPort(at).String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); direct.Close() })
	return in, direct
}

// BenchmarkBulk compares moving much through the gateway (with the guest's stack
// in the same process, too) with moving it over the loopback.
func BenchmarkBulk(b *testing.B) {
	for _, dir := range []string{"down", "up"} {
		b.Run(dir, func(b *testing.B) {
			in, direct := ends(b)
			const size = 64 << 20
			var through, plain float64
			for b.Loop() {
				through += bulk(b, in, dir == "down", size)
				plain += bulk(b, direct, dir == "down", size)
			}
			b.ReportMetric(through/float64(b.N)/1e6, "MB/s")
			b.ReportMetric(through/plain, "of-direct")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkRoundTrip is one small request and its answer on an open connection.
func BenchmarkRoundTrip(b *testing.B) {
	in, direct := ends(b)
	ping := func(c net.Conn, br *bufio.Reader) time.Duration {
		start := time.Now()
		if _, err := io.WriteString(c, "ping\n"); err != nil {
			b.Fatal(err)
		}
		if _, err := br.ReadString('\n'); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	inr, dr := bufio.NewReader(in), bufio.NewReader(direct)
	var through, plain time.Duration
	for b.Loop() {
		through += ping(in, inr)
		plain += ping(direct, dr)
	}
	b.ReportMetric(float64(through.Microseconds())/float64(b.N), "µs")
	b.ReportMetric(float64(plain.Microseconds())/float64(b.N), "direct-µs")
}

// BenchmarkConnect is a new connection by name with one small exchange.
func BenchmarkConnect(b *testing.B) {
	w := newWorld(b, belljar.Network{Rules: []belljar.NetRule{rule("bulk.example.com", 9)}})
	w.raw("bulk.example.com", "93.184.216.34:9", sink)
	a := w.addr("bulk.example.com").String()
	for b.Loop() {
		c, err := w.dial(a, 9)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.WriteString(c, "ping\n")
		var one [5]byte
		if _, err := io.ReadFull(c, one[:]); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}
