package ui_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/jwtgate/jwtgate/caddymodule/ui"
)

// request is one of the page's own; cases change it.
func request(p *ui.Page, method, name, body string) *http.Request {
	r := httptest.NewRequest(method, p.Path()+name, strings.NewReader(body))
	r.Host = "127.0.0.1:9000"
	r.Header.Set("X-Jwtgate-Page", "1")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if method != http.MethodGet {
		r.Header.Set("Origin", "http://127.0.0.1:9000")
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

func newPage(t *testing.T, o ui.Options) *ui.Page {
	t.Helper()
	p, err := ui.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func do(p *ui.Page, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w.Result()
}

func TestPathIsRandom(t *testing.T) {
	g := newFakeGateway()
	a, b := newPage(t, ui.Options{Admin: g}), newPage(t, ui.Options{Admin: g})
	if !regexp.MustCompile(`^/[0-9a-f]{32}/$`).MatchString(a.Path()) || a.Path() == b.Path() {
		t.Errorf("paths %s and %s", a.Path(), b.Path())
	}
}

func TestGuard(t *testing.T) {
	g := newFakeGateway()
	p := newPage(t, ui.Options{Admin: g, Hosts: []string{"gw1.internal", "2001:db8::7"}})
	const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
	for _, tt := range []struct {
		name, method, path string
		change             func(r *http.Request)
		want               int
	}{
		{"the page", get, "", nil, 200},
		{"typed into the address bar", get, "", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "none") }, 200},
		{"a link elsewhere", get, "", func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Sec-Fetch-Mode", "navigate")
			r.Header.Set("Sec-Fetch-Dest", "document")
		}, 200},
		{"a frame elsewhere", get, "", func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Sec-Fetch-Mode", "navigate")
			r.Header.Set("Sec-Fetch-Dest", "iframe")
		}, 403},
		{"a script of a foreign page", get, "main.js", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		{"a script of another port", get, "main.js", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, 403},
		{"localhost", get, "", func(r *http.Request) { r.Host = "localhost:9000" }, 200},
		{"IPv6", get, "", func(r *http.Request) { r.Host = "[::1]:9000" }, 200},
		{"through a tunnel", get, "", func(r *http.Request) { r.Host = "LOCALHOST:1234" }, 200},
		{"the exposed name", get, "", func(r *http.Request) { r.Host = "gw1.internal:9000" }, 200},
		{"the exposed address", get, "", func(r *http.Request) { r.Host = "[2001:db8::7]:9000" }, 200},
		{"rebound name", get, "", func(r *http.Request) { r.Host = "attacker.example:9000" }, 403},
		{"rebound name for data", get, "api/status", func(r *http.Request) { r.Host = "attacker.example:9000" }, 403},
		{"name that ends like ours", get, "", func(r *http.Request) { r.Host = "localhost.attacker.example" }, 403},
		{"no host", get, "", func(r *http.Request) { r.Host = "" }, 403},
		{"wrong path", get, "", func(r *http.Request) { r.URL.Path = "/" + strings.Repeat("0", 32) + "/" }, 404},
		{"no path", get, "", func(r *http.Request) { r.URL.Path = "/" }, 404},
		{"path without its slash", get, "", func(r *http.Request) { r.URL.Path = strings.TrimSuffix(p.Path(), "/") }, 404},
		{"half of the path", get, "", func(r *http.Request) { r.URL.Path = p.Path()[:17] + "/" }, 404},
		{"upwards", get, "../../main.js", nil, 404},
		{"no such file", get, "index.html", nil, 404},
		{"writing to a file", post, "main.js", nil, 405},

		{"data", get, "api/status", nil, 200},
		{"data without the header of the page", get, "api/status", func(r *http.Request) { r.Header.Del("X-Jwtgate-Page") }, 403},
		{"data for a foreign page", get, "api/status", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		{"data for another port", get, "api/status", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, 403},
		{"data from the address bar", get, "api/status", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "none") }, 403},
		{"data for a foreign origin", get, "api/status", func(r *http.Request) { r.Header.Set("Origin", "http://attacker.example") }, 403},
		{"data without fetch metadata", get, "api/status", func(r *http.Request) { r.Header.Del("Sec-Fetch-Site") }, 200},
		{"change", post, "api/refresh", nil, 200},
		{"change from a foreign origin", post, "api/refresh", func(r *http.Request) { r.Header.Set("Origin", "http://attacker.example") }, 403},
		{"change from another port", post, "api/refresh", func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:9001") }, 403},
		{"change from a secure origin", post, "api/refresh", func(r *http.Request) { r.Header.Set("Origin", "https://127.0.0.1:9000") }, 403},
		{"change from an opaque origin", post, "api/refresh", func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		{"change from two origins", post, "api/refresh", func(r *http.Request) { r.Header.Add("Origin", "http://127.0.0.1:9000") }, 403},
		{"change without an origin", post, "api/refresh", func(r *http.Request) { r.Header.Del("Origin") }, 403},
		{"change without an origin or fetch metadata", del, "api/observe-report", func(r *http.Request) { r.Header.Del("Origin"); r.Header.Del("Sec-Fetch-Site") }, 403},
		{"preflight", http.MethodOptions, "api/refresh", func(r *http.Request) {
			r.Header.Del("X-Jwtgate-Page")
			r.Header.Set("Access-Control-Request-Headers", "x-jwtgate-page")
		}, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := request(p, tt.method, tt.path, "")
			if tt.change != nil {
				tt.change(r)
			}
			before := len(g.calls())
			response := do(p, r)
			if response.StatusCode != tt.want {
				t.Errorf("%d %s, want %d", response.StatusCode, readAll(response), tt.want)
			}
			if after := len(g.calls()); tt.want >= 400 && after != before {
				t.Error("the gateway was asked")
			}
			for name, part := range map[string]string{
				"Content-Security-Policy": "default-src 'none'", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
				"Cache-Control": "no-store", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
			} {
				if !strings.Contains(response.Header.Get(name), part) {
					t.Errorf("%s: %q", name, response.Header.Get(name))
				}
			}
			if response.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Error("another origin may read it")
			}
		})
	}
}

// TestOnlyWhatThePageNeedsPasses: the admin endpoint can change the whole
// configuration of Caddy.
func TestOnlyWhatThePageNeedsPasses(t *testing.T) {
	for _, tt := range []struct {
		method, name, body string
		want               int
		passes             string // what the gateway is asked
	}{
		{"GET", "status", "", 200, "GET /jwtgate/status "},
		{"POST", "refresh/https%3A%2F%2Fid.example.com", "", 200, "POST /jwtgate/refresh/https:%2F%2Fid%2Eexample%2Ecom "},
		{"POST", "refresh/%2E%2E", "", 404, "POST /jwtgate/refresh/%2E%2E "},
		{"POST", "refresh/a%3Fb%23c", "", 404, "POST /jwtgate/refresh/a%3Fb%23c "},
		{"POST", "refresh/", "", 404, ""},
		{"POST", "refresh/a/b", "", 404, ""},
		{"POST", "revocations/query", `{"limit":1}`, 200, `POST /jwtgate/revocations/query {"limit":1}`},
		{"DELETE", "revocations/none", "", 404, "DELETE /jwtgate/revocations/none "},
		{"POST", "revocations/none", "", 405, ""},
		{"PUT", "revocations", "", 405, ""},
		{"POST", "status", "", 405, ""},
		{"GET", "status?x=1", "", 404, ""},
		{"GET", "revocations/export", "", 405, ""},
		{"GET", "ready", "", 404, ""},
		{"GET", "config/", "", 404, ""},
		{"GET", "../config/", "", 404, ""},
		{"GET", "", "", 404, ""},
		{"POST", "load", `{}`, 404, ""},
		{"POST", "explain", strings.Repeat(" ", 2<<20) + "{}", 413, ""},
		{"POST", "revocations/query", strings.Repeat(" ", 256<<10) + "{}", 413, ""},
		{"GET", "status", "{}", 413, ""},
		{"POST", "refresh", "{}", 413, ""},
	} {
		name := tt.name
		if name == "" {
			name = "nothing"
		}
		t.Run(tt.method+" "+name, func(t *testing.T) {
			g := newFakeGateway()
			p := newPage(t, ui.Options{Admin: g})
			response := do(p, request(p, tt.method, "api/"+tt.name, tt.body))
			if response.StatusCode != tt.want {
				t.Errorf("%d %s, want %d", response.StatusCode, readAll(response), tt.want)
			}
			if got := strings.Join(g.calls(), "\n"); got != tt.passes {
				t.Errorf("the gateway was asked %.200q, want %q", got, tt.passes)
			}
		})
	}
	t.Run("another kind of body", func(t *testing.T) {
		g := newFakeGateway()
		p := newPage(t, ui.Options{Admin: g})
		r := request(p, "POST", "api/revocations", "{}")
		r.Header.Set("Content-Type", "text/plain")
		if response := do(p, r); response.StatusCode != 415 || len(g.calls()) > 0 {
			t.Errorf("%d, asked %q", response.StatusCode, g.calls())
		}
	})
}

func TestReadOnlyRefuses(t *testing.T) {
	g := newFakeGateway()
	p := newPage(t, ui.Options{Admin: g, ReadOnly: true})
	for call, want := range map[[2]string]int{
		{"GET", "status"}: 200, {"GET", "observe-report"}: 200, {"POST", "revocations/query"}: 200,
		{"POST", "refresh"}: 403, {"POST", "refresh/x"}: 403, {"POST", "revocations"}: 403, {"DELETE", "revocations/x"}: 403, {"DELETE", "observe-report"}: 403,
	} {
		body := ""
		if call[1] == "revocations/query" {
			body = `{"limit":1}`
		}
		if response := do(p, request(p, call[0], "api/"+call[1], body)); response.StatusCode != want {
			t.Errorf("%s: %d, want %d", call, response.StatusCode, want)
		}
	}
}

// strange is whatever else may listen at the address.
type strange struct {
	status      int
	contentType string
	body        string
}

func (s strange) Send(context.Context, string, string, []byte) (*http.Response, error) {
	return &http.Response{StatusCode: s.status, Header: http.Header{"Content-Type": {s.contentType}}, Body: io.NopCloser(strings.NewReader(s.body))}, nil
}

func TestStrangersAreNamed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer strange
		want   int
		says   string
	}{
		{"a Caddy without jwtgate", strange{404, "text/plain", "404 page not found"}, 502, "no_jwtgate"},
		{"Caddy's own refusal", strange{403, "application/json", `{"error":"host not allowed: x"}`}, 502, "host not allowed: x"},
		{"a web page", strange{200, "text/html", "<script>alert(1)</script>"}, 502, "not_a_gateway"},
		{"broken JSON", strange{200, "application/json", `{"a":`}, 502, "not_a_gateway"},
		{"a redirect", strange{302, "", ""}, 502, "not_a_gateway"},
		{"a problem of ours", strange{503, "application/problem+json", `{"code":"list_loading"}`}, 503, "list_loading"},
		{"an endless answer", strange{200, "application/json", `"` + strings.Repeat("a", 16<<20) + `"`}, 502, "answer_too_large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPage(t, ui.Options{Admin: tt.answer})
			response := do(p, request(p, "GET", "api/status", ""))
			if text := readAll(response); response.StatusCode != tt.want || !strings.Contains(text, tt.says) {
				t.Errorf("%d %.300s", response.StatusCode, text)
			}
			if got := response.Header.Get("Content-Type"); !strings.HasPrefix(got, "application/") {
				t.Errorf("Content-Type %s", got)
			}
		})
	}
}

// TestFilesAreThePagesOwn: nothing is fetched from elsewhere, and nothing stands
// in the HTML that the policy would block.
func TestFilesAreThePagesOwn(t *testing.T) {
	p := newPage(t, ui.Options{Admin: newFakeGateway()})
	page := readAll(do(p, request(p, "GET", "", "")))
	files := regexp.MustCompile(`(?:src|href)="([^"#][^"]*)"`).FindAllStringSubmatch(page, -1)
	if len(files) < 4 {
		t.Fatalf("files %q", files)
	}
	if found := regexp.MustCompile(`(?i)\son\w+=|\sstyle=|<style|javascript:|<script>`).FindString(page); found != "" {
		t.Errorf("inline: %s", found)
	}
	for i := 0; i < len(files); i++ {
		name := files[i][1]
		response := do(p, request(p, "GET", name, ""))
		text := readAll(response)
		if response.StatusCode != 200 {
			t.Errorf("%s: %d", name, response.StatusCode)
		}
		for _, m := range regexp.MustCompile(`(?m)^import .*'\./([^']+)'`).FindAllStringSubmatch(text, -1) {
			if known := fmt.Sprint(files); !strings.Contains(known, " "+m[1]+"]") {
				files = append(files, []string{"", m[1]})
			}
		}
		if found := regexp.MustCompile(`(?i)https?://[^\s'"]+|\.innerHTML\s*=|insertAdjacentHTML|document\.write|\beval\(|new Function`).FindAllString(text, -1); len(found) > 0 {
			for _, f := range found {
				if f != "http://www.w3.org/2000/svg" && !strings.Contains(f, "example.com") {
					t.Errorf("%s has %s", name, f)
				}
			}
		}
	}
	if len(files) < 15 {
		t.Errorf("only %d files are reached from the page", len(files))
	}
}
