package caddymodule

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/internal/signing"
)

// TestTrapRandomKidsAmplifiedIntoFetches sends up to 10,000 tokens a second that
// are good but for a kid and a signature that nobody knows. The issuer is asked
// at most twice, nothing grows, valid tokens pass. With JWTGATE_LONG=1 the
// issuer rotates in the middle, and the flood lasts until a token of the new key
// passes: within the 30 s that the budget for unknown keys is for.
func TestTrapRandomKidsAmplifiedIntoFetches(t *testing.T) {
	const rate = 10_000
	long := os.Getenv("JWTGATE_LONG") != ""
	lasts := 10 * time.Second
	if raceEnabled && !long {
		lasts = 3 * time.Second
	}
	// At DEBUG each refusal is a line.
	g := (&setup{Sites: gateSite, Level: "INFO"}).start(t)
	warm := g.Issuer.Sign(nil)
	g.passes(patience, "/", warm)

	var stop atomic.Bool
	valid := g.goodClient(t, &stop, g.Issuer.Key(), warm)
	idle, asksBefore := goruntime.NumGoroutine(), g.Issuer.KeyRequests()
	f := newFlood(g, 8, rate)
	began := time.Now()
	wait := func(d time.Duration) {
		for time.Since(began) < d && f.failed() == nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
	wait(lasts / 4)
	heap, goroutines := liveHeap(), goruntime.NumGoroutine()
	wait(lasts / 2)
	var accepted time.Duration
	if long {
		g.Issuer.Rotate()
		rotated, next := time.Now(), g.Issuer.Sign(nil)
		g.passes(35*time.Second, "/", next)
		accepted = time.Since(rotated)
	}
	wait(lasts)
	// What requests under way hold is counted as well: the least of some is meant.
	heapAfter := liveHeap()
	for range 30 {
		if heapAfter <= heap+4<<20 {
			break
		}
		heapAfter = min(heapAfter, liveHeap())
	}
	goroutinesAfter := goruntime.NumGoroutine()
	took := time.Since(began)
	answers, err := f.end()
	stop.Store(true)
	served, slowest := valid()

	total := answers[http.StatusUnauthorized]
	t.Logf("%d tokens with random kids in %s, %.0f a second, beside %d valid ones, the slowest of which took %s; heap %d -> %d KiB, %d -> %d goroutines (%d before)",
		total, took.Round(time.Millisecond), float64(total)/took.Seconds(), served, slowest.Round(time.Millisecond), heap>>10, heapAfter>>10, goroutines, goroutinesAfter, idle)
	if err != nil {
		t.Fatal(err)
	}
	if len(answers) != 1 || total < 500 {
		t.Errorf("answers by status: %v, want 401 alone", answers)
	}
	if n := g.Issuer.KeyRequests() - asksBefore; n < 1 || n > 2 {
		t.Errorf("%d fetches, want one or two", n)
	}
	if heapAfter > heap+4<<20 {
		t.Errorf("the heap grew from %d to %d KiB", heap>>10, heapAfter>>10)
	}
	if goroutinesAfter > goroutines+50 || goroutines > idle+100 {
		t.Errorf("goroutines: %d before, %d soon, %d in the end", idle, goroutines, goroutinesAfter)
	}
	if served < 5 {
		t.Errorf("%d valid tokens passed", served)
	}
	if long {
		t.Logf("a token of a new key passed %s after the rotation", accepted.Round(100*time.Millisecond))
		if accepted > 31*time.Second {
			t.Errorf("a rotation was kept out for %s", accepted)
		}
	}
	g.client.CloseIdleConnections()
	eventually(t, "goroutines as before", func() bool { return goruntime.NumGoroutine() <= idle+3 })
	ctx := caddy.ActiveContext()
	if s := gather(t, ctx.GetMetricsRegistry())[fmt.Sprintf("jwtgate_key_refetch_suppressed_total{issuer=%q}", g.Issuer.URL())]; s < float64(total)*0.9 {
		t.Errorf("%v fetches suppressed for %d tokens", s, total)
	}
}

// goodClient sends valid tokens, most of them warm, until stop; what it returns
// waits for the end.
func (g *gateway) goodClient(t *testing.T, stop *atomic.Bool, key *signing.Key, warm string) func() (served int, slowest time.Duration) {
	var client sync.WaitGroup
	served, slowest := 0, time.Duration(0)
	client.Go(func() {
		for bad := 0; !stop.Load() && bad < 5; {
			raw := warm
			if served%10 == 9 {
				raw = g.Issuer.Sign(nil, issuertest.Key(key))
			}
			h := g.ask("/", raw)
			g.Backend.take()
			if h.err != nil || h.Status != http.StatusOK {
				t.Errorf("a valid token: %s", h)
				bad++
			}
			served++
			slowest = max(slowest, h.took)
			time.Sleep(2 * time.Millisecond)
		}
	})
	return func() (int, time.Duration) { client.Wait(); return served, slowest }
}

// flood is a number of connections that send bogus tokens as fast as the rate
// allows and the gateway answers.
type flood struct {
	stop  atomic.Bool
	conns sync.WaitGroup

	mu      sync.Mutex
	answers map[int]int
	err     error
}

func newFlood(g *gateway, conns, rate int) *flood {
	f := &flood{answers: make(map[int]int)}
	for range conns {
		f.conns.Go(func() {
			if err := f.run(g, float64(rate)/float64(conns)); err != nil {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.err = errors.Join(f.err, err)
			}
		})
	}
	return f
}

func (f *flood) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// end stops the flood and returns how often each status came.
func (f *flood) end() (map[int]int, error) {
	f.stop.Store(true)
	f.conns.Wait()
	return f.answers, f.err
}

// run sends over one connection, a batch in a go (HTTP/1.1 pipelining), so that
// the client costs less than the gateway that it tries.
func (f *flood) run(g *gateway, rate float64) error {
	const batch = 20
	conn, err := net.Dial("tcp", g.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	var out bytes.Buffer
	signature := make([]byte, 64)
	exp := time.Now().Add(time.Hour).Unix()
	began, sent := time.Now(), 0
	for !f.stop.Load() {
		due := began.Add(time.Duration(float64(sent) / rate * float64(time.Second)))
		time.Sleep(time.Until(due))
		out.Reset()
		for range batch {
			for i := range signature {
				signature[i] = byte(random.Uint32())
			}
			b64 := base64.RawURLEncoding.AppendEncode
			header := fmt.Appendf(nil, `{"alg":"ES256","kid":"%016x","typ":"at+jwt"}`, random.Uint64())
			payload := fmt.Appendf(nil, `{"aud":"api","exp":%d,"iat":%d,"iss":%q,"jti":"%016x","sub":"alice"}`, exp, exp-3600, g.Issuer.URL(), random.Uint64())
			out.WriteString("GET / HTTP/1.1\r\nHost: " + g.Addr + "\r\nAuthorization: Bearer ")
			out.Write(b64(nil, header))
			out.WriteByte('.')
			out.Write(b64(nil, payload))
			out.WriteByte('.')
			out.Write(b64(nil, signature))
			out.WriteString("\r\n\r\n")
		}
		if err := conn.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
			return err
		}
		if _, err := conn.Write(out.Bytes()); err != nil {
			return err
		}
		sent += batch
		var statuses [batch]int
		for i := range statuses {
			if statuses[i], err = readAnswer(in); err != nil {
				return err
			}
		}
		f.mu.Lock()
		for _, status := range statuses {
			f.answers[status]++
		}
		f.mu.Unlock()
	}
	return nil
}

// readAnswer reads one response with a Content-Length.
func readAnswer(in *bufio.Reader) (status int, err error) {
	length := -1
	for n := 0; ; n++ {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		switch text := strings.TrimRight(string(line), "\r\n"); {
		case n == 0:
			words := strings.Fields(text)
			if len(words) < 2 {
				return 0, fmt.Errorf("status line %q", text)
			}
			if status, err = strconv.Atoi(words[1]); err != nil {
				return 0, err
			}
		case text == "":
			if length < 0 {
				return 0, fmt.Errorf("an answer %d without Content-Length", status)
			}
			_, err = io.CopyN(io.Discard, in, int64(length))
			return status, err
		default:
			name, value, _ := strings.Cut(text, ":")
			if strings.EqualFold(name, "Content-Length") {
				if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
					return 0, err
				}
			}
		}
	}
}
