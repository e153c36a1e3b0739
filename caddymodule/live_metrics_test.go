package caddymodule

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/redistest"
)

// scrape returns the series of ours that the gateway exposes at /metrics.
func (g *gateway) scrape() map[string]string {
	g.t.Helper()
	a := g.once("GET", "/metrics")
	if a.Status != 200 {
		g.t.Fatalf("metrics: %d %s", a.Status, a.Body)
	}
	series := make(map[string]string)
	for line := range strings.Lines(a.Body) {
		if strings.HasPrefix(line, "jwtgate_") {
			name, value, _ := cutLast(strings.TrimSpace(line))
			series[name] = value
		}
	}
	return series
}

func cutLast(line string) (before, after string, found bool) {
	i := strings.LastIndexByte(line, ' ')
	if i < 0 {
		return line, "", false
	}
	return line[:i], line[i+1:], true
}

const metricsSites = `GATEWAY {
	handle /metrics {
		metrics
	}
	handle {
		jwtgate_logout /logout session
		jwtgate /observe {
			require scope nothing
			observe
		}
		jwtgate /stream {
			token_from websocket
		}
		@rest not path /observe /stream
		jwtgate @rest {
			forward {
				X-User-ID sub
			}
		}
		reverse_proxy BACKEND
	}
}`

// TestRunningGatewayExposesMetrics: after some traffic a real Caddy exposes what
// the collectors describe, with the same labels, and nothing else. What is about
// the feed needs Redis.
func TestRunningGatewayExposesMetrics(t *testing.T) {
	described := metricNames(t)
	s := &setup{Sites: metricsSites, Revocation: "journal " + filepath.Join(t.TempDir(), "list.db")}
	redis := true
	if _, err := exec.LookPath("redis-server"); err != nil {
		redis = false
	} else {
		s.Revocation += "\nredis " + redistest.Start(t, redistest.Options{}).URL().String()
	}
	g := s.start(t)
	g.passes(patience, "/", g.Issuer.Sign(nil))
	for _, tt := range []struct {
		path, header string
		status       int
	}{
		{"/", g.bearer(map[string]any{"exp": time.Now().Add(48 * time.Hour)}), 200},
		{"/", g.bearer(map[string]any{"exp": time.Now().Add(-time.Minute)}), 401},
		{"/", g.bearer(map[string]any{"sub": "a\r\nb"}), 200},
		{"/observe", "X-Nothing: x", 200},
		{"/logout", g.bearer(map[string]any{"sid": nil}), 200},
	} {
		if a := g.once("GET", tt.path, tt.header); a.Status != tt.status {
			t.Errorf("%s %.20s: %d %s", tt.path, tt.header, a.Status, a.Body)
		}
	}
	label := regexp.MustCompile(`([a-z_]+)="`)
	seen := make(map[string]bool)
	for series := range g.scrape() {
		name, labels, _ := strings.Cut(series, "{")
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			if base, ok := strings.CutSuffix(name, suffix); ok {
				if _, ok := described[base]; ok {
					name = base
				}
			}
		}
		want, ok := described[name]
		if !ok {
			t.Errorf("%s is exposed, and no collector describes it", name)
			continue
		}
		seen[name] = true
		var got []string
		for _, m := range label.FindAllStringSubmatch(labels, -1) {
			if m[1] != "le" {
				got = append(got, m[1])
			}
		}
		slices.Sort(got)
		want = slices.Sorted(slices.Values(want))
		if !slices.Equal(got, want) {
			t.Errorf("%s: labels %v, want %v", series, got, want)
		}
	}
	feed := []string{"jwtgate_feed_stale", "jwtgate_outbox_entries", "jwtgate_feed_stream_entries", "jwtgate_feed_losses_total", "jwtgate_feed_malformed_total"}
	for name := range described {
		if !seen[name] && (redis || !slices.Contains(feed, name)) {
			t.Errorf("%s is not exposed", name)
		}
	}
	all := g.scrape()
	issuer := `issuer="` + g.Issuer.URL() + `"`
	for series, want := range map[string]string{
		`jwtgate_ready`:             "1",
		`jwtgate_revocation_loaded`: "1",
		`jwtgate_decisions_total{issuer="",reason="token_missing",result="observe"}`: "",
		`jwtgate_clock_skew_seconds_bucket{claim="exp",` + issuer + `,le="60"}`:      "",
		`jwtgate_headers_omitted_total{header="X-User-Id"}`:                          "",
		`jwtgate_streams{kind="upgraded"}`:                                           "0",
	} {
		if got, ok := all[series]; !ok || want != "" && got != want {
			t.Errorf("%s: %q (there: %v), want %q", series, got, ok, want)
		}
	}
}

// TestStreamsAreCounted: an upgraded connection and an event stream count from
// their head to their end; what was refused, or was answered in another way,
// never does.
func TestStreamsAreCounted(t *testing.T) {
	release := make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/upgrade":
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
			_ = rw.Flush()
			_, _ = io.Copy(conn, rw) // echo
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
			fmt.Fprint(w, "data: 1\n\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-release:
			case <-r.Context().Done():
			}
		default:
			fmt.Fprint(w, "ordinary")
		}
	}))
	t.Cleanup(backend.Close)
	g := live(t, `GATEWAY {
		handle /metrics {
			metrics
		}
		handle {
			jwtgate /upgrade {
				optional
			}
			jwtgate
			reverse_proxy `+backend.Listener.Addr().String()+`
		}
	}`)
	g.passes(patience, "/", g.Issuer.Sign(nil))
	are := func(when string, upgraded, events int) {
		t.Helper()
		want := fmt.Sprint(upgraded, events)
		var got string
		for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			all := g.scrape()
			if got = all[`jwtgate_streams{kind="upgraded"}`] + " " + all[`jwtgate_streams{kind="events"}`]; got == want {
				return
			}
		}
		t.Fatalf("%s: %s streams, want %s", when, got, want)
	}
	are("at first", 0, 0)
	upgrade := []string{"Connection: Upgrade", "Upgrade: x"}
	good := g.bearer(nil)
	for path, headers := range map[string][]string{
		"/":        append(upgrade, good), // answered in HTTP
		"/upgrade": upgrade,               // the second gate refuses it
		"/events":  nil,
	} {
		g.once("GET", path, headers...)
	}
	are("after refusals", 0, 0)

	conn, err := net.Dial("tcp", g.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprintf(conn, "GET /upgrade HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: x\r\n%s\r\n\r\n", g.Addr, good)
	head := bufio.NewReader(conn)
	if line, err := head.ReadString('\n'); err != nil || !strings.Contains(line, " 101 ") {
		t.Fatalf("%q, %v", line, err)
	}
	are("with a connection", 1, 0)
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+g.Addr+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	name, value, _ := strings.Cut(good, ": ")
	r.Header.Set(name, value)
	resp, err := g.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	are("with both", 1, 1)
	close(release)
	are("after the events", 1, 0)
	conn.Close()
	are("after the connection", 0, 0)
}

// TestHandlersStreamAsBefore: what handlers ask of a ResponseWriter, they get
// from the one that counts.
func TestHandlersStreamAsBefore(t *testing.T) {
	for name, tt := range map[string]struct {
		use    func(w *streamWriter) error
		events int64
	}{
		"Write":     {func(w *streamWriter) error { _, err := w.Write([]byte("x")); return err }, 1},
		"ReadFrom":  {func(w *streamWriter) error { _, err := w.ReadFrom(strings.NewReader("x")); return err }, 1},
		"Flush":     {func(w *streamWriter) error { w.Flush(); return nil }, 1},
		"an error":  {func(w *streamWriter) error { w.WriteHeader(500); return nil }, 0},
		"103 first": {func(w *streamWriter) error { w.WriteHeader(103); return nil }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			before := streams[events].Load()
			rec := httptest.NewRecorder()
			w := new(streamWriter)
			w.ResponseWriter = rec
			w.Header().Set("Content-Type", "Text/Event-Stream")
			if err := tt.use(w); err != nil {
				t.Fatal(err)
			}
			if got := streams[events].Load() - before; got != tt.events {
				t.Errorf("%d event streams, want %d", got, tt.events)
			}
			w.end()
			if got := streams[events].Load() - before; got != 0 {
				t.Errorf("%d event streams remain", got)
			}
			if _, _, err := w.Hijack(); err == nil || w.kind != notStream {
				t.Errorf("hijacked what cannot be: %v", err)
			}
		})
	}
}

// TestSwitches tells what makes an upgraded connection of a request.
func TestSwitches(t *testing.T) {
	h1 := http.Header{"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"websocket"}}
	for name, tt := range map[string]struct {
		r    http.Request
		want int
	}{
		"ordinary":           {http.Request{Method: "GET", ProtoMajor: 1, Header: http.Header{}}, 0},
		"HTTP/1.1":           {http.Request{Method: "GET", ProtoMajor: 1, Header: h1}, 101},
		"HTTP/2, :protocol":  {http.Request{Method: "CONNECT", ProtoMajor: 2, Proto: "HTTP/2.0", Header: http.Header{":protocol": {"websocket"}}}, 200},
		"HTTP/3, :protocol":  {http.Request{Method: "CONNECT", ProtoMajor: 3, Proto: "websocket", Header: http.Header{}}, 200},
		"HTTP/2, no upgrade": {http.Request{Method: "GET", ProtoMajor: 2, Proto: "HTTP/2.0", Header: http.Header{}}, 0},
	} {
		if got := switches(&tt.r); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}
