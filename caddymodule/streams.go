package caddymodule

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"
)

// streams are those of the process that passed a gate and go on: neither exp
// nor a revocation ends them.
var streams liveStreams

// streamKind is what has become of a response.
type streamKind uint8

const (
	notStream streamKind = iota
	upgraded             // WebSockets and other protocols that took a connection or a stream over
	events               // text/event-stream
	streamKinds
)

// streamLabels are the values of the label kind, in the order of the kinds.
var streamLabels = [streamKinds]string{upgraded: "upgraded", events: "events"}

type liveStreams [streamKinds]atomic.Int64

// pass runs next and counts what becomes a stream of it. The gate that met the
// request first is the one that counts.
func (st *requestState) pass(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if st.stream.ResponseWriter != nil {
		return next.ServeHTTP(w, r)
	}
	// The proxy changes the request of a WebSocket over HTTP/2.
	st.stream = streamWriter{ResponseWriterWrapper: caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, yes: switches(r)}
	defer st.stream.end()
	return next.ServeHTTP(&st.stream, r)
}

// streamWriter looks at the head of a response for what makes it a stream. It is
// part of the state of a request, so that it costs no allocation.
type streamWriter struct {
	caddyhttp.ResponseWriterWrapper
	yes   int  // the status that gives the client the other protocol it asked for
	began bool // the head is on its way
	kind  streamKind
}

// switches returns the status with which r becomes an upgraded connection or
// stream; 0 if it did not ask for that. 101 is for HTTP/1.1 alone (RFC 8441
// section 4).
func switches(r *http.Request) int {
	switch {
	case !isUpgrade(r):
		return 0
	case isExtendedConnect(r):
		return http.StatusOK
	}
	return http.StatusSwitchingProtocols
}

// begin looks at a final status and the header that goes with it.
func (w *streamWriter) begin(status int) {
	if w.began {
		return
	}
	w.began = true
	switch {
	case w.yes == status:
		w.become(upgraded)
	case status < 300:
		if lines := w.Header()["Content-Type"]; len(lines) > 0 && isEventStream(lines[0]) {
			w.become(events)
		}
	}
}

func isEventStream(contentType string) bool {
	const want = "text/event-stream"
	if len(contentType) < len(want) || !strings.EqualFold(contentType[:len(want)], want) {
		return false
	}
	rest := contentType[len(want):]
	return rest == "" || rest[0] == ';' || rest[0] == ' '
}

func (w *streamWriter) become(kind streamKind) {
	if w.kind == notStream {
		w.kind = kind
		streams[kind].Add(1)
	}
}

// end is called when the handlers behind the gate are done, which for a proxied
// connection is when both sides of it are.
func (w *streamWriter) end() {
	if w.kind != notStream {
		streams[w.kind].Add(-1)
		w.kind = notStream
	}
}

// WriteHeader implements http.ResponseWriter.
func (w *streamWriter) WriteHeader(status int) {
	if !informational(status) {
		w.begin(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *streamWriter) Write(p []byte) (int, error) {
	w.begin(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

// ReadFrom implements io.ReaderFrom.
func (w *streamWriter) ReadFrom(r io.Reader) (int64, error) {
	w.begin(http.StatusOK)
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError is what http.ResponseController calls.
func (w *streamWriter) FlushError() error {
	w.begin(http.StatusOK)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush implements http.Flusher.
func (w *streamWriter) Flush() { _ = w.FlushError() }

// Hijack implements http.Hijacker.
func (w *streamWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.began = true
		w.become(upgraded)
	}
	return conn, rw, err
}

// streamCollector tells how many streams there are.
type streamCollector struct {
	desc *prometheus.Desc
	live *liveStreams
}

func newStreamCollector(live *liveStreams) *streamCollector {
	return &streamCollector{
		desc: prometheus.NewDesc("jwtgate_streams",
			"Connections that passed a gate and were upgraded (upgraded), and event streams (events), that are still open.",
			[]string{"kind"}, nil),
		live: live,
	}
}

// Describe implements prometheus.Collector.
func (c *streamCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector.
func (c *streamCollector) Collect(ch chan<- prometheus.Metric) {
	for kind := upgraded; kind < streamKinds; kind++ {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(c.live[kind].Load()), streamLabels[kind])
	}
}

// Interface guards.
var (
	_ http.ResponseWriter = (*streamWriter)(nil)
	_ http.Flusher        = (*streamWriter)(nil)
	_ http.Hijacker       = (*streamWriter)(nil)
	_ io.ReaderFrom       = (*streamWriter)(nil)
)
