package revocation

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/redistest"
)

// TestGatewayProcess is a gateway when TestRedisFeedUnderFire starts it: it
// takes commands on its standard input and answers on its standard output.
func TestGatewayProcess(t *testing.T) {
	if os.Getenv("JWTGATE_TEST_JOURNAL") == "" {
		t.Skip("only as a process of another test")
	}
	u, err := url.Parse(os.Getenv("JWTGATE_TEST_REDIS"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Path: os.Getenv("JWTGATE_TEST_JOURNAL")})
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewFeed(s, FeedOptions{URLs: []*url.URL{u}, Timeout: time.Second, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		t.Fatal(err)
	}
	f.Start()
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf("> "+format+"\n", args...)
	}
	say("ready")
	var working sync.WaitGroup
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		command, value, _ := strings.Cut(lines.Text(), " ")
		switch command {
		case "revoke":
			working.Go(func() {
				if r, err := s.Revoke(context.Background(), feedEntry(value)); err == nil && r.Durable {
					say("revoked %s", value)
				}
			})
		case "list":
			s.Export(context.Background(), false, func(e *Entry) error { say("entry %s", e.Value); return nil })
			say("end %d %d %d", s.Stats().Outbox, f.Status().Losses, f.Status().Restored)
		}
	}
	working.Wait()
	f.Close()
	s.Close()
}

// process is a gateway of its own.
type process struct {
	t       *testing.T
	path    string
	url     *url.URL
	mu      sync.Mutex
	cmd     *exec.Cmd
	in      io.WriteCloser
	acked   func(value string)
	entries []string
	listed  chan []string
	end     string
}

func (p *process) start() {
	p.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestGatewayProcess$")
	cmd.Env = append(os.Environ(), "JWTGATE_TEST_JOURNAL="+p.path, "JWTGATE_TEST_REDIS="+p.url.String())
	in, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if testing.Verbose() {
		cmd.Stderr = os.Stderr
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ready := make(chan struct{})
	go p.hear(out, ready)
	<-ready
	p.mu.Lock()
	p.cmd, p.in = cmd, in
	p.mu.Unlock()
}

// hear reads what the process says until it ends.
func (p *process) hear(out io.Reader, ready chan struct{}) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != ">" {
			continue
		}
		switch words[1] {
		case "ready":
			close(ready)
			ready = nil
		case "revoked":
			p.acked(words[2])
		case "entry":
			p.entries = append(p.entries, words[2])
		case "end":
			p.end = lines.Text()
			p.listed <- p.entries
			p.entries = nil
		}
	}
	if ready != nil {
		close(ready)
	}
}

func (p *process) send(command string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	io.WriteString(p.in, command+"\n") // a process that was killed hears nothing
}

// kill ends it with SIGKILL, which leaves its journal as it is.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd.Process.Kill()
	p.cmd.Wait()
	p.entries = nil
}

func (p *process) list() []string {
	p.send("list")
	select {
	case l := <-p.listed:
		return l
	case <-time.After(20 * time.Second):
		p.t.Fatal("a gateway does not answer")
		return nil
	}
}

// TestRedisFeedUnderFire: three gateways, which revoke all the time, while the
// server and what connects them to it fail in every way, and while they are
// killed themselves. In the end all of them hold the same, which is everything
// that was acknowledged and nothing that nobody asked for.
func TestRedisFeedUnderFire(t *testing.T) {
	server := redistest.Start(t, redistest.Options{Persist: true})
	lasts := 8 * time.Second
	if longRun() {
		lasts = 4 * time.Minute
	}
	var mu sync.Mutex
	asked, acked := make(map[string]bool), make(map[string]bool)
	var proxies []*redistest.Proxy
	var gateways []*process
	for range 3 {
		proxy := redistest.NewProxy(t, server)
		p := &process{t: t, path: tempJournal(t), url: proxy.URL(), listed: make(chan []string, 1)}
		p.acked = func(value string) {
			mu.Lock()
			defer mu.Unlock()
			acked[value] = true
		}
		p.start()
		t.Cleanup(p.kill)
		proxies, gateways = append(proxies, proxy), append(gateways, p)
	}

	stop := make(chan struct{})
	var load sync.WaitGroup
	for i, p := range gateways {
		load.Go(func() {
			for n := 0; ; n++ {
				value := fmt.Sprintf("g%d-%d", i, n)
				mu.Lock()
				asked[value] = true
				mu.Unlock()
				p.send("revoke " + value)
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(1, 2))
	if longRun() {
		random = rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	}
	sleep := func(d time.Duration) { time.Sleep(d/2 + time.Duration(random.Int64N(int64(d)))) }
	blows := []struct {
		name string
		do   func(p *redistest.Proxy, g *process)
	}{
		{"redis killed", func(*redistest.Proxy, *process) { server.Kill(); sleep(300 * time.Millisecond); server.Restart() }},
		{"redis paused", func(*redistest.Proxy, *process) { server.Pause(); sleep(1500 * time.Millisecond); server.Resume() }},
		{"redis emptied", func(*redistest.Proxy, *process) { server.RestartEmpty() }},
		{"redis flushed", func(*redistest.Proxy, *process) { server.Do("FLUSHALL") }},
		{"gateway killed", func(_ *redistest.Proxy, g *process) { g.kill(); sleep(200 * time.Millisecond); g.start() }},
		{"delay", func(p *redistest.Proxy, _ *process) { p.Delay(200 * time.Millisecond); sleep(time.Second) }},
		{"swallow", func(p *redistest.Proxy, _ *process) { p.Swallow(); sleep(2 * time.Second) }},
		{"cut", func(p *redistest.Proxy, _ *process) { p.Cut(); sleep(500 * time.Millisecond) }},
		{"drop", func(p *redistest.Proxy, _ *process) { p.Drop() }},
		{"half close", func(p *redistest.Proxy, _ *process) { p.HalfClose(); sleep(300 * time.Millisecond) }},
	}
	for began, n := time.Now(), 0; time.Since(began) < lasts || n < len(blows); n++ {
		blow := blows[n%len(blows)]
		if n >= len(blows) {
			blow = blows[random.IntN(len(blows))]
		}
		i := random.IntN(len(gateways))
		t.Logf("%v: %s, gateway %d", time.Since(began).Round(time.Millisecond), blow.name, i)
		blow.do(proxies[i], gateways[i])
		sleep(200 * time.Millisecond)
		proxies[i].Heal()
	}
	close(stop)
	load.Wait()
	time.Sleep(100 * time.Millisecond) // answers on their way

	complete := func() string {
		mu.Lock()
		defer mu.Unlock()
		for i, g := range gateways {
			has := make(map[string]bool)
			for _, value := range g.list() {
				has[value] = true
				if !asked[value] {
					t.Fatalf("gateway %d invented %s", i, value)
				}
			}
			for value := range acked {
				if !has[value] {
					return fmt.Sprintf("gateway %d lacks %s (has %d)", i, value, len(has))
				}
			}
			// Of what was not acknowledged some may be there: then everywhere.
			for value := range has {
				acked[value] = true
			}
			if !strings.HasPrefix(g.end, "> end 0 ") {
				return fmt.Sprintf("gateway %d has an outbox: %s", i, g.end)
			}
		}
		return ""
	}
	deadline := time.Now().Add(60 * time.Second)
	for why := complete(); why != ""; why = complete() {
		if time.Now().After(deadline) {
			t.Fatal(why)
		}
		time.Sleep(200 * time.Millisecond)
	}
	if len(acked) < 500 {
		t.Errorf("only %d revocations", len(acked))
	}
	t.Logf("%d revocations, %d entries in the stream", len(acked), server.Int("XLEN", streamKey))
	for _, g := range gateways {
		t.Log(g.end)
	}
}
