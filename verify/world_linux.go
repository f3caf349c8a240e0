package verify

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"

	"github.com/belljar-dev/belljar"
	"golang.org/x/sys/unix"
)

// A world is what the rows' judgements look at: the place where a sandbox, or the
// attacker alone, ran.
type world struct {
	cfg     *worldConfig
	home    string
	secrets map[string]string // decoys by name: text that nobody can guess

	mu   sync.Mutex
	hits map[string]string // guarded by mu: rows whose decoy was reached, and how

	said     statements
	outcome  map[phase]Outcome
	screen   []byte            // what the user's terminal was sent
	objects  map[string]string // what was open while the attacker of the first phase held
	terminal *os.File          // the user's side of it
	ttyHeld  string            // who else had it open while the attacker held
	victim   int               // a process of the host
	stderr   bytes.Buffer      // of another sandbox; guarded by mu
	web      int               // the process that plays the internet
	keys     bool              // rows are about the credential: the main phase has it
}

// World plays the part of a world's first process. It does not return from the
// set-up, and returns at the end of the attacks.
func World(ctx context.Context, l Launcher) error {
	result := os.NewFile(fdResult, "result")
	t, err := live(ctx, l)
	if err != nil {
		t.Err, t.Hint = err.Error(), belljar.HintOf(err)
	}
	return errors.Join(json.NewEncoder(result).Encode(t), result.Close())
}

func live(ctx context.Context, l Launcher) (told, error) {
	go func() { // the end of whoever started us is ours, and so that of everything here
		_, _ = os.NewFile(fdLife, "life").Read(make([]byte, 1))
		os.Exit(1)
	}()
	for fd := fdResult; fd <= fdLife; fd++ {
		unix.CloseOnExec(fd)
	}
	f := os.NewFile(fdConfig, "config")
	defer f.Close()
	if os.Getenv(stageVariable) == "set-up" {
		var c worldConfig
		if err := json.NewDecoder(f).Decode(&c); err != nil {
			return told{}, fmt.Errorf("read the configuration: %w", err)
		}
		runtime.LockOSThread() // capabilities belong to the thread that executes the next stage
		return told{}, setUp(&c)
	}
	if err := os.Unsetenv(stageVariable); err != nil {
		return told{}, err
	}
	w, err := restore(f)
	if err != nil {
		return told{}, fmt.Errorf("read the configuration: %w", err)
	}
	return w.attack(ctx, l)
}

// saved is what the set-up hands on to the next stage.
type saved struct {
	Config  worldConfig       `json:"config"`
	Secrets map[string]string `json:"secrets"`
	Web     int               `json:"web"`
}

// save puts the world's secrets where the next stage, and nobody else, reads them.
func (w *world) save() error {
	b, err := json.Marshal(saved{*w.cfg, w.secrets, w.web})
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("config", 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := unix.Pwrite(fd, b, 0); err != nil {
		return err
	}
	for _, x := range [][2]int{{fd, fdConfig}, {fdResult, fdResult}, {fdLife, fdLife}} {
		if x[0] == x[1] {
			_, err = unix.FcntlInt(uintptr(x[0]), unix.F_SETFD, 0)
		} else {
			err = unix.Dup3(x[0], x[1], 0)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func restore(f *os.File) (*world, error) {
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	var s saved
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, err
	}
	return &world{
		cfg: &s.Config, home: s.Config.Home, secrets: s.Secrets, web: s.Web, hits: map[string]string{}, outcome: map[phase]Outcome{},
	}, nil
}

// secret is the decoy of that name; made when it is first asked for, in the set-up.
func (w *world) secret(name string) string {
	if w.secrets == nil {
		w.secrets = map[string]string{}
	}
	if w.secrets[name] == "" {
		w.secrets[name] = "decoy-" + rand.Text()
		if name == "credential" || name == "other" || name == "tool" { // told apart from those that lie in files
			w.secrets[name] = keyPrefix + rand.Text()
		}
	}
	return w.secrets[name]
}

func (w *world) project() string { return filepath.Join(w.home, projectName) }

// runtimeDir is where sockets of the user's session are.
func (w *world) runtimeDir() string { return "/run/user/" + strconv.Itoa(os.Getuid()) }

// hit notes that a decoy was reached for the row id.
func (w *world) hit(id, how string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.hits) < 10_000 {
		w.hits[id] = how
	}
}

func (w *world) hitOf(id string) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	how, ok := w.hits[id]
	return how, ok
}
