// Command demoserver is the one host service that the demo allows: it listens on
// a free port of the loopback, prints the port and answers every request.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
)

func main() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, "demoserver:", err)
		os.Exit(1)
	}
	fmt.Println(ln.Addr().(*net.TCPAddr).Port)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello from a service of the host")
	})
	fmt.Fprintln(os.Stderr, "demoserver:", http.Serve(ln, handler))
	os.Exit(1)
}
