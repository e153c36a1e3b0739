package mobile_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuer"
	"github.com/jwtgate/jwtgate/internal/redistest"
)

// world is a gateway with its issuer and backend, and a directory for what must
// outlive a process.
type world struct {
	t       *testing.T
	dir     string
	issuer  *identity
	backend *backend
	gateway *gateway
}

func newWorld(t *testing.T, lifetime time.Duration) *world {
	t.Helper()
	w := emptyWorld(t, lifetime, "orders-api")
	w.gateway.start()
	w.gateway.awaitReady()
	return w
}

// emptyWorld has a gateway that is not running, and an issuer that writes an audience
// into its tokens.
func emptyWorld(t *testing.T, lifetime time.Duration, audience string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), issuer: newIdentity(t, lifetime, audience), backend: newBackend(t)}
	w.gateway = newGateway(w)
	return w
}

// judge holds what is true of every client at any time.
func (w *world) judge() {
	w.t.Helper()
	for rid, statuses := range w.gateway.answers() {
		if len(statuses) > 2 {
			w.t.Errorf("%s: the gateway was asked %d times: %v", rid, len(statuses), statuses)
		}
	}
	if _, _, _, most := w.issuer.counts(); most > 1 {
		w.t.Errorf("%d refreshes were under way at a time", most)
	}
}

// signedIn starts a client that has just logged in.
func (w *world) signedIn(start startClient, change func(*options), clock ...string) *client {
	w.t.Helper()
	c := w.launch(start, change, clock...)
	c.do("signIn", map[string]any{"answer": w.issuer.login(w.t)})
	return c
}

// answer asks the token endpoint as an app's login would.
func (id *identity) answer(t *testing.T, form url.Values) map[string]any {
	t.Helper()
	r := httptest.NewRequest("POST", id.URL()+issuer.TokenPath, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	id.ServeHTTP(w, r)
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
		t.Fatalf("login: %d %s", w.Code, w.Body)
	}
	return answer
}

// seen is a request that got through to the backend.
type seen struct {
	rid, path string
	at        time.Time
}

// backend answers everything and writes down what it saw.
type backend struct {
	*httptest.Server
	mu     sync.Mutex
	seen   []seen
	status int // of logouts
}

func newBackend(t *testing.T) *backend {
	b := &backend{status: http.StatusNoContent}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.seen = append(b.seen, seen{r.Header.Get("X-Request-Id"), r.URL.Path, time.Now()})
		status := b.status
		b.mu.Unlock()
		if r.URL.Path == "/auth/logout" {
			w.WriteHeader(status)
			return
		}
		fmt.Fprintf(w, "hello %s", r.Header.Get("X-User-ID"))
	}))
	t.Cleanup(func() { b.CloseClientConnections(); b.Close() })
	return b
}

func (b *backend) requests(path string) []seen {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []seen
	for _, s := range b.seen {
		if s.path == path {
			found = append(found, s)
		}
	}
	return found
}

func (b *backend) answerLogouts(status int) { b.mu.Lock(); defer b.mu.Unlock(); b.status = status }

// gateway is a `caddy run` whose files outlive it.
type gateway struct {
	w           *world
	dir         string
	site, admin string
	process     *exec.Cmd
}

func newGateway(w *world) *gateway {
	g := &gateway{w: w, dir: w.t.TempDir(),
		site:  fmt.Sprintf("http://127.0.0.1:%d", redistest.FreePort(w.t)),
		admin: fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(w.t))}
	w.t.Cleanup(func() { g.stop(syscall.SIGKILL) })
	return g
}

// No skew: a token of three seconds is to be refused after three seconds.
func (g *gateway) caddyfile() string {
	return fmt.Sprintf(`{
	admin %s
	persist_config off
	storage file_system %q
	jwtgate {
		issuer %s {
			audience orders-api
			skew 0s
		}
		revocation {
			journal %q
		}
	}
}
%s {
	bind 127.0.0.1
	log {
		output file %q
		format json
	}
	jwtgate_ready /ready
	jwtgate_logout /auth/logout session {
		allow_expired 24h
	}
	jwtgate {
		forward {
			X-User-ID sub
		}
	}
	handle /stripped {
		route {
			request_header -Authorization
			jwtgate
		}
	}
	handle {
		reverse_proxy %s
	}
}
`, g.admin, filepath.Join(g.dir, "storage"), g.w.issuer.URL(), filepath.Join(g.dir, "list.db"), g.site,
		filepath.Join(g.dir, "access.log"), strings.TrimPrefix(g.w.backend.URL, "http://"))
}

func (g *gateway) start() {
	t := g.w.t
	t.Helper()
	config := filepath.Join(g.dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(g.caddyfile()), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(g.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	g.process = exec.Command(exe, "run", "--adapter", "caddyfile", "--config", config)
	g.process.Env = []string{runMain + "=1", "HOME=" + g.dir, "PATH=" + os.Getenv("PATH")}
	g.process.Stdout, g.process.Stderr = log, log
	if err := g.process.Start(); err != nil {
		t.Fatal(err)
	}
}

func (g *gateway) stop(signal os.Signal) {
	if g.process != nil {
		_ = g.process.Process.Signal(signal)
		_ = g.process.Wait()
		g.process = nil
	}
}

// listening waits until the gateway answers at all; awaitReady, until it can decide.
func (g *gateway) listening() { g.w.t.Helper(); g.await("/ready", func(int) bool { return true }) }
func (g *gateway) awaitReady() {
	g.w.t.Helper()
	g.await("/ready", func(s int) bool { return s == http.StatusOK })
}

func (g *gateway) await(path string, good func(status int) bool) {
	g.w.t.Helper()
	for deadline := time.Now().Add(patient); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get(g.site + path)
		if err != nil {
			continue
		}
		resp.Body.Close()
		if good(resp.StatusCode) {
			return
		}
	}
	log, _ := os.ReadFile(filepath.Join(g.dir, "log"))
	g.w.t.Fatalf("the gateway is not there within %s\n%s", patient, log[max(0, len(log)-4000):])
}

// revoke has an operator end sessions, by the subject or by the token.
func (g *gateway) revoke(entry map[string]any) {
	g.w.t.Helper()
	body, err := json.Marshal(entry)
	if err != nil {
		g.w.t.Fatal(err)
	}
	resp, err := http.Post("http://"+g.admin+"/jwtgate/revocations", "application/json", bytes.NewReader(body))
	if err != nil {
		g.w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		g.w.t.Fatalf("revoke: %s", resp.Status)
	}
}

// answers returns the statuses that the gateway gave to each request, in their
// order, by the client's name for the call.
func (g *gateway) answers() map[string][]int {
	g.w.t.Helper()
	data, err := os.ReadFile(filepath.Join(g.dir, "access.log"))
	if err != nil {
		g.w.t.Fatal(err)
	}
	found := make(map[string][]int)
	for line := range strings.Lines(string(data)) {
		var entry struct {
			Status  int `json:"status"`
			Request struct {
				Headers http.Header `json:"headers"`
			} `json:"request"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			continue // cut off by a kill
		}
		if rid := entry.Request.Headers.Get("X-Request-Id"); rid != "" {
			found[rid] = append(found[rid], entry.Status)
		}
	}
	return found
}

// get asks the API with a token, without a client of ours.
func (g *gateway) get(token string) (int, string) {
	g.w.t.Helper()
	r, err := http.NewRequest("GET", g.site+"/orders", nil)
	if err != nil {
		g.w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		g.w.t.Fatal(err)
	}
	defer resp.Body.Close()
	var problem struct {
		Code string `json:"code"`
	}
	_ = json.NewDecoder(resp.Body).Decode(&problem)
	return resp.StatusCode, problem.Code
}

func until(t *testing.T, what string, good func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patient); !good(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patient)
		}
	}
}
