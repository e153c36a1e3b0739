package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/cli"
	"github.com/jwtgate/jwtgate/revocation"
)

// lines writes a file of n orders.
func lines(t testing.TB, issuer string, n int) (path string) {
	t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"kind":"token","issuer":%q,"value":"j%d"}`+"\n", issuer, i)
	}
	path = filepath.Join(t.TempDir(), "list.ndjson")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestImportGoesOnWhereItWasInterrupted with 50,000 lines: none is missing,
// and what was done is not done again.
func TestImportGoesOnWhereItWasInterrupted(t *testing.T) {
	b := newAdminBench(t)
	const all = 50_000
	path := lines(t, b.iss.URL(), all)
	var requests, stopAt atomic.Int64
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	c := serveAdmin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) == stopAt.Load() {
			interrupt()
			panic(http.ErrAbortHandler)
		}
		b.mux.ServeHTTP(w, r)
	}))
	stopAt.Store(11)
	_, _, err := c.runContext(ctx, "", "revocations", "import", path)
	if err == nil || len(b.list.entries) != 10*importChunkLines {
		t.Fatalf("%d entries, %v", len(b.list.entries), err)
	}
	// What lies ahead may be mended meanwhile.
	appendLine(t, path, fmt.Sprintf(`{"kind":"session","issuer":%q,"value":"last"}`, b.iss.URL()))
	before := requests.Load()
	out, errOut, err := c.run("", "revocations", "import", path, "--json")
	if err != nil || !strings.Contains(errOut, "Going on with line 20001") {
		t.Fatalf("%v %q", err, errOut)
	}
	var result importResult
	if err := json.Unmarshal([]byte(out), &result); err != nil || result.Lines != all-10*importChunkLines+1 || !result.Complete || result.NextLine != all+2 {
		t.Errorf("%s %v", out, err)
	}
	if len(b.list.entries) != all+1 {
		t.Errorf("%d entries", len(b.list.entries))
	}
	if n := requests.Load() - before; n != 16 {
		t.Errorf("%d requests for the rest", n)
	}
	if _, err := os.Stat(path + importStateSuffix); err == nil {
		t.Error("what is done is still remembered")
	}
}

func appendLine(t testing.TB, path, line string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(line + "\n"); err != nil {
		t.Fatal(err)
	}
}

// TestImportBeginsAgain where what is remembered does not fit.
func TestImportBeginsAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(t *testing.T, path string)
		args   []string
		want   string
		first  int // line it begins with
	}{
		"nothing changed": {func(*testing.T, string) {}, nil, "Going on with line 2001", 2001},
		"another beginning": {func(t *testing.T, path string) {
			data, _ := os.ReadFile(path)
			data[40]++
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}, nil, "another content", 1},
		"cut short": {func(t *testing.T, path string) {
			if err := os.Truncate(path, 100); err != nil {
				t.Fatal(err)
			}
		}, nil, "another content", 1},
		"another gateway": {func(t *testing.T, path string) {
			data, _ := os.ReadFile(path + importStateSuffix)
			if err := os.WriteFile(path+importStateSuffix, []byte(strings.Replace(string(data), `"address":"`, `"address":"other`, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, nil, "an import to other", 1},
		"damaged state": {func(t *testing.T, path string) {
			if err := os.WriteFile(path+importStateSuffix, []byte(`{"offset":7`), 0o600); err != nil {
				t.Fatal(err)
			}
		}, nil, "is damaged", 1},
		"told to restart":     {func(*testing.T, string) {}, []string{"--restart"}, "", 1},
		"told to resume from": {func(*testing.T, string) {}, []string{"--resume-from", "2999"}, "", 2999},
	} {
		t.Run(name, func(t *testing.T) {
			b := newAdminBench(t)
			path := lines(t, b.iss.URL(), 3000)
			// The second chunk has a bad line.
			appendLine(t, path, "{")
			c := serveAdmin(t, b.mux)
			if _, errOut, err := c.run("", "revocations", "import", path); cli.Code(err) != cli.Refused || !strings.Contains(errOut, "line 3001: ") {
				t.Fatalf("%v %q", err, errOut)
			}
			if len(b.list.entries) != 2000 {
				t.Fatalf("%d entries", len(b.list.entries))
			}
			tt.change(t, path)
			clear(b.list.entries)
			_, errOut, err := c.run("", append([]string{"revocations", "import", path, "--skip-bad"}, tt.args...)...)
			if cli.Code(err) != cli.Refused || !strings.Contains(errOut, tt.want) {
				t.Fatalf("exit %d: %v %q", cli.Code(err), err, errOut)
			}
			first := b.list.entries[revocation.DigestOf(revocation.Token, b.iss.URL(), fmt.Sprint("j", tt.first-1))]
			if name != "another beginning" && name != "cut short" && first.Value == "" {
				t.Errorf("line %d is missing", tt.first)
			}
			if name != "cut short" && name != "another beginning" && len(b.list.entries) != 3000-tt.first+1 {
				t.Errorf("%d entries", len(b.list.entries))
			}
		})
	}
}

// TestImportBadLines: they are told by number; nothing of their request is
// applied, or everything but them.
func TestImportBadLines(t *testing.T) {
	b := newAdminBench(t)
	c := serveAdmin(t, b.mux)
	good := b.asks(`{"kind":"token","issuer":"ISSUER","value":"j%d"}`)
	input := strings.Join([]string{
		fmt.Sprintf(good, 1), "", "{", fmt.Sprintf(good, 2), `{"kind":"x","issuer":"i","value":"` + strings.Repeat("x", 2*maxImportLine) + `"}`, "\t",
		b.asks(`{"kind":"token","issuer":"ISSUER","value":"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.AAAA"}`), fmt.Sprintf(good, 3),
	}, "\n")
	_, errOut, err := c.run(input, "revocations", "import", "-")
	if cli.Code(err) != cli.Refused || !strings.Contains(errOut, "line 5: longer than") || len(b.list.entries) != 0 {
		t.Errorf("%v %q", err, errOut)
	}
	out, errOut, err := c.run(input, "revocations", "import", "-", "--skip-bad", "--json")
	var result importResult
	if cli.Code(err) != cli.Refused || json.Unmarshal([]byte(out), &result) != nil || result.Bad != 3 || result.Lines != 3 || !result.Complete {
		t.Errorf("%v %s", err, out)
	}
	for _, want := range []string{"line 3: ", "line 5: longer than", "line 7: value: this is a token"} {
		if !strings.Contains(errOut, want) {
			t.Errorf("no %q in %q", want, errOut)
		}
	}
	if strings.Contains(errOut+err.Error()+out, "eyJ") {
		t.Error("a token is printed")
	}
	if len(b.list.entries) != 3 {
		t.Errorf("%d entries", len(b.list.entries))
	}
	// More bad lines than one answer names.
	if out, _, _ := c.run(strings.Repeat("{\n", 450)+fmt.Sprintf(good, 9), "revocations", "import", "-", "--skip-bad", "--json"); !strings.Contains(out, `"bad":450`) || !strings.Contains(out, `"lines":1`) {
		t.Errorf("%s", out)
	}
}

// TestImportFromStandardInput cannot remember, and says where to go on.
func TestImportFromStandardInput(t *testing.T) {
	b := newAdminBench(t)
	c := serveAdmin(t, b.mux)
	data, err := os.ReadFile(lines(t, b.iss.URL(), 2500))
	if err != nil {
		t.Fatal(err)
	}
	_, errOut, err := c.run(string(data)+"{\n", "revocations", "import", "-")
	if err == nil || !strings.Contains(errOut, "--resume-from 2001") {
		t.Fatalf("%v %q", err, errOut)
	}
	if out, _, err := c.run(string(data), "revocations", "import", "-", "--resume-from", "2001"); err != nil || !strings.HasPrefix(out, "500 lines applied") || len(b.list.entries) != 2500 {
		t.Errorf("%v %q, %d entries", err, out, len(b.list.entries))
	}
	if _, _, err := c.run(string(data), "revocations", "import", "-", "--resume-from", "9999"); err == nil || !strings.Contains(err.Error(), "only 2500 lines") {
		t.Errorf("%v", err)
	}
	if out, _, err := c.run("", "revocations", "import", "-"); err != nil || !strings.HasPrefix(out, "0 lines applied") {
		t.Errorf("%v %q", err, out)
	}
}

// TestImportWaitsForAGatewayThatIsBusy, not for one that never answered.
func TestImportWaitsForAGatewayThatIsBusy(t *testing.T) {
	b := newAdminBench(t)
	var requests atomic.Int64
	c := serveAdmin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch requests.Add(1) {
		case 1: // loading
			problem(codeLoading, "").write(w)
		case 3: // a reload
			hijacked, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				hijacked.Close()
			}
		default:
			b.mux.ServeHTTP(w, r)
		}
	}))
	client, err := newAdminClient(c.address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.close()
	data, err := os.ReadFile(lines(t, b.iss.URL(), 5000))
	if err != nil {
		t.Fatal(err)
	}
	var pauses []time.Duration
	i := &importer{client: client, source: newLineSource(strings.NewReader(string(data))), errOut: os.Stderr,
		pause: func(_ context.Context, d time.Duration) error { pauses = append(pauses, d); return nil }}
	if err := i.run(context.Background()); err != nil || len(b.list.entries) != 5000 || len(pauses) != 2 {
		t.Errorf("%v, %d entries, pauses %v", err, len(b.list.entries), pauses)
	}
	// An endless trouble ends.
	always := serveAdmin(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { problem(codeNotDurable, "").write(w) }))
	if i.client, err = newAdminClient(always.address); err != nil {
		t.Fatal(err)
	}
	defer i.client.close()
	pauses, i.source = nil, newLineSource(strings.NewReader(string(data)))
	if err := i.run(context.Background()); cli.Code(err) != cli.Refused || len(pauses) != maxAttempts-1 {
		t.Errorf("%v, %d pauses", err, len(pauses))
	}
}
