// Package browsertest drives a real headless Chromium for tests, over the
// WebDriver protocol that chromedriver speaks.
package browsertest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Wait is how long tests wait for what must come.
const Wait = time.Minute

// arguments keep the browser from doing anything by itself.
var arguments = []string{
	"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
	"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--disable-default-apps", "--no-default-browser-check",
	"--password-store=basic", "--lang=en-US", "--force-color-profile=srgb", "--hide-scrollbars",
}

// browsers are the names of the program, the first that is there counts.
var browsers = []string{"chromium", "chromium-browser", "google-chrome"}

// Need skips the test where there is no Chromium with its driver, or fails it
// with JWTGATE_TESTS=all in the environment. It returns their paths.
func Need(t testing.TB) (driver, browser string) {
	t.Helper()
	driver, err := exec.LookPath("chromedriver")
	if err == nil {
		for _, name := range browsers {
			if browser, err = exec.LookPath(name); err == nil {
				return driver, browser
			}
		}
	}
	const missing = "chromium or chromedriver is missing (Debian: apt-get install chromium chromium-driver)"
	if os.Getenv("JWTGATE_TESTS") == "all" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return "", ""
}

// Browser is one Chromium with one window.
type Browser struct {
	t      testing.TB
	base   string // of the session's URLs
	client *http.Client
	stop   func()
}

var started = regexp.MustCompile(`started successfully on port (\d+)`)

// running is the browser that the tests of a process share: starting one takes
// seconds.
var running struct {
	mu      sync.Mutex
	browser *Browser
}

// Start returns the browser, which it starts when it is asked for first, with
// an empty page for this test. Its clock is in UTC. Tests that use it do not run
// in parallel, and call Stop in TestMain.
func Start(t testing.TB) *Browser {
	t.Helper()
	driver, program := Need(t)
	running.mu.Lock()
	defer running.mu.Unlock()
	if running.browser == nil {
		running.browser = launch(t, driver, program)
	}
	b := *running.browser
	b.t = t
	b.must(nil, http.MethodPost, "/url", map[string]string{"url": "about:blank"})
	b.Prefer(nil)
	b.Resize(1280, 900)
	b.Log()
	t.Cleanup(func() { b.must(nil, http.MethodPost, "/url", map[string]string{"url": "about:blank"}) })
	return &b
}

// Stop ends the browser, if there is one.
func Stop() {
	running.mu.Lock()
	defer running.mu.Unlock()
	if running.browser != nil {
		running.browser.stop()
		running.browser = nil
	}
}

// launch starts a driver and its browser.
func launch(t testing.TB, driver, program string) *Browser {
	t.Helper()
	profile, err := os.MkdirTemp("", "browser")
	if err != nil {
		t.Fatal(err)
	}
	b := &Browser{t: t, client: &http.Client{Transport: &http.Transport{Proxy: nil}, Timeout: 2 * Wait}}
	// Both in a group of their own, and a home of their own: nothing of the
	// user's is read or left behind.
	process := exec.Command(driver, "--port=0")
	process.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return regexp.MustCompile(`(?i)^(https?_proxy|all_proxy|no_proxy|TZ|HOME|XDG_\w+)=`).MatchString(v)
	}), "TZ=UTC", "HOME="+profile)
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	output, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	b.stop = func() {
		if b.base != "" {
			_ = b.call(nil, http.MethodDelete, "", nil)
		}
		b.client.CloseIdleConnections()
		_ = syscall.Kill(-process.Process.Pid, syscall.SIGKILL)
		_ = process.Wait()
		// The browser's own processes may still write for a moment.
		for range 50 {
			if os.RemoveAll(profile) == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	port := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(output); lines.Scan(); {
			if m := started.FindStringSubmatch(lines.Text()); m != nil {
				port <- m[1]
			}
		}
	}()
	select {
	case p := <-port:
		b.base = "http://127.0.0.1:" + p + "/session"
	case <-time.After(Wait):
		b.stop()
		t.Fatal("chromedriver did not start")
	}
	var session struct {
		ID string `json:"sessionId"`
	}
	options := map[string]any{"binary": program, "args": append(slices.Clone(arguments), "--user-data-dir="+filepath.Join(profile, "data"))}
	b.must(&session, http.MethodPost, "", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{
		"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": map[string]string{"browser": "ALL"},
	}}})
	b.base += "/" + session.ID
	return b
}

// Fault is an answer of the driver that says no.
type Fault struct {
	Code    string `json:"error"`
	Message string `json:"message"`
}

// Error implements error.
func (f *Fault) Error() string { return f.Code + ": " + f.Message }

// call sends a command; its value is read into out unless that is nil.
func (b *Browser) call(out any, method, path string, in any) error {
	var body io.Reader
	if method == http.MethodPost {
		if in == nil {
			in = struct{}{}
		}
		encoded, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(encoded)
	}
	r, err := http.NewRequest(method, b.base+path, body)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := b.client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct{ Value json.RawMessage }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s %s: %s: %w", method, path, strconv.Itoa(response.StatusCode), err)
	}
	if response.StatusCode != http.StatusOK {
		fault := new(Fault)
		if json.Unmarshal(answer.Value, fault) != nil || fault.Code == "" {
			return errors.New(string(answer.Value))
		}
		return fault
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer.Value, out)
}

// must is call that ends the test.
func (b *Browser) must(out any, method, path string, in any) {
	b.t.Helper()
	if err := b.call(out, method, path, in); err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
}
