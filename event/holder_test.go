package event

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/belljar-dev/belljar"
)

// holderEnv makes the test program one that makes a record, says so and waits.
const holderEnv = "BELLJAR_TEST_HOLDER"

// holdRecord is that program: it makes a record in the state folder, apart or not.
func holdRecord(how string) {
	state, apart := strings.CutPrefix(how, "apart ")
	r, err := Create(CreateOptions{State: state, Apart: apart, Start: belljar.StartEvent{ID: fmt.Sprintf("held-%v", apart), Name: "held", Argv: []string{"true"}}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("made")
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := r.Close(belljar.EndEvent{}); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}
