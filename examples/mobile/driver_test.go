package mobile_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// startClient returns the command line of a client's driver, given its options.
type startClient func(options string) []string

// patient is how long a test waits for what must come.
const patient = time.Minute

type options struct {
	API            string `json:"api"`
	TokenURL       string `json:"tokenUrl"`
	ClientID       string `json:"clientId"`
	LogoutURL      string `json:"logoutUrl"`
	Store          string `json:"store"`
	Patience       int    `json:"patience,omitempty"`       // ms
	Margin         int    `json:"margin,omitempty"`         // ms
	RefreshTimeout int    `json:"refreshTimeout,omitempty"` // ms
	Tabs           bool   `json:"tabs,omitempty"`           // of TypeScript: the store is shared
}

// result is what the client said of a call.
type result struct {
	RID    string `json:"rid"`
	After  bool   `json:"after"` // begun after the logout was
	Status int    `json:"status"`
	Code   string `json:"code"`
	Body   string `json:"body"`
	Error  string `json:"error"` // login_required, unavailable or network
	Text   string `json:"text"`
	MS     int    `json:"ms"`

	ended time.Time
}

func (r result) began() time.Time { return r.ended.Add(-time.Duration(r.MS) * time.Millisecond) }

func (r result) ok() bool { return r.Status == 200 }

type state struct {
	SignedIn bool     `json:"signedIn"`
	Queued   int      `json:"queued"`
	Ended    []string `json:"ended"`  // each onLoginRequired with its reason
	Wall     int64    `json:"wall"`   // what the device takes for the time, ms
	Server   float64  `json:"server"` // what the client takes for it
}

type reply struct {
	ID     int      `json:"id"`
	Event  string   `json:"event"`
	Fault  string   `json:"fault"`
	Calls  []result `json:"calls"`
	Logout string   `json:"logout"`
	state
	result
}

// client is a running client program.
type client struct {
	t       *testing.T
	in      io.WriteCloser
	process *exec.Cmd

	mu      sync.Mutex
	serial  int
	waiting map[int]chan reply
	load    []result
	gone    chan struct{}
}

// launch starts the client's program with a session store of its own, which outlives
// it. The device's clock is wrong by faketime's words, such as "+2h", if there are any.
func (w *world) launch(start startClient, change func(*options), clock ...string) *client {
	t := w.t
	t.Helper()
	o := options{API: w.gateway.site, TokenURL: w.issuer.URL() + "/token", ClientID: "phone",
		LogoutURL: w.gateway.site + "/auth/logout", Store: filepath.Join(w.dir, "session.json")}
	if change != nil {
		change(&o)
	}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	words := start(string(text))
	c := &client{t: t, waiting: make(map[int]chan reply), gone: make(chan struct{})}
	c.process = exec.Command(words[0], words[1:]...)
	if len(clock) > 0 {
		c.process.Env = append(os.Environ(), wrongClock(t, clock[0])...)
	}
	c.process.Stderr = &lines{t: t}
	if c.in, err = c.process.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan reply, 1)
	c.waiting[0] = ready
	if err := c.process.Start(); err != nil {
		t.Fatal(err)
	}
	go c.read(out)
	t.Cleanup(c.kill)
	c.await(ready, "start")
	return c
}

// kill ends the program as a phone ends an app: without a word.
func (c *client) kill() {
	_ = c.process.Process.Kill()
	<-c.gone
	_ = c.process.Wait()
}

func (c *client) read(out io.Reader) {
	defer close(c.gone)
	scan := bufio.NewScanner(out)
	scan.Buffer(nil, 16<<20)
	for scan.Scan() {
		var r reply
		if err := json.Unmarshal(scan.Bytes(), &r); err != nil {
			c.t.Errorf("the client says %q: %v", scan.Bytes(), err)
			continue
		}
		c.mu.Lock()
		switch r.Event {
		case "call":
			r.ended = time.Now()
			c.load = append(c.load, r.result)
		case "fault":
			c.t.Errorf("the client's store: %s", r.Text)
		default:
			if to := c.waiting[r.ID]; to != nil {
				delete(c.waiting, r.ID)
				to <- r
			}
		}
		c.mu.Unlock()
	}
}

// send gives a command; the channel gets its reply.
func (c *client) send(do string, args map[string]any) chan reply {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serial++
	line := map[string]any{"id": c.serial, "do": do}
	for name, value := range args {
		line[name] = value
	}
	text, err := json.Marshal(line)
	if err != nil {
		c.t.Fatal(err)
	}
	to := make(chan reply, 1)
	c.waiting[c.serial] = to
	if _, err := c.in.Write(append(text, '\n')); err != nil {
		c.t.Fatalf("%s: the client is gone: %v", do, err)
	}
	return to
}

func (c *client) await(from chan reply, what string) reply {
	c.t.Helper()
	select {
	case r := <-from:
		if r.Fault != "" {
			c.t.Fatalf("%s: the client failed: %s", what, r.Fault)
		}
		return r
	case <-c.gone:
		c.t.Fatalf("%s: the client is gone", what)
	case <-time.After(2 * patient):
		c.t.Fatalf("%s: no answer from the client", what)
	}
	panic("unreachable")
}

func (c *client) do(do string, args map[string]any) reply {
	c.t.Helper()
	return c.await(c.send(do, args), do)
}

// call makes one call, or several at once, and wants them to end alike.
func (c *client) call(args map[string]any) result {
	c.t.Helper()
	calls := c.do("call", args).Calls
	for _, r := range calls[1:] {
		if r.Status != calls[0].Status || r.Error != calls[0].Error {
			c.t.Errorf("parallel calls end differently: %+v and %+v", calls[0], r)
		}
	}
	return calls[0]
}

func (c *client) get() result { c.t.Helper(); return c.call(nil) }

func (c *client) state() state { c.t.Helper(); return c.do("state", nil).state }

// calls returns what the load has reported so far.
func (c *client) calls() []result {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]result(nil), c.load...)
}

// lines logs what a program writes to its standard error.
type lines struct{ t *testing.T }

func (l *lines) Write(p []byte) (int, error) {
	l.t.Logf("client: %s", p)
	return len(p), nil
}

// wrongClock is the environment in which a program takes another time of day for the
// real one. Time goes on as ever, as it does on a phone whose user has set the clock.
func wrongClock(t *testing.T, by string) []string {
	t.Helper()
	needTools(t, "faketime")
	// The program faketime would stand between us and the process.
	library, err := exec.Command("faketime", "-f", by, "printenv", "LD_PRELOAD").Output()
	if err != nil {
		t.Fatalf("faketime: %v", err)
	}
	return []string{"LD_PRELOAD=" + strings.TrimSpace(string(library)), "FAKETIME=" + by, "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1"}
}
