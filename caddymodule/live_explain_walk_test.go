package caddymodule

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jwtgate/jwtgate/internal/cli"
	"github.com/jwtgate/jwtgate/internal/redistest"
)

// walkSites has gates in every place where Caddy lets one stand. Each is known
// by its realm.
const walkSites = `
&(shared) {
	jwtgate {
		audience api
		realm shared
		forward {
			X-User-ID sub
		}
	}
}
GATEWAY {
	@canary header X-Canary yes
	map {path} {area} {
		~^/mapped/ inner
		default    outer
	}
	vars /vars/* stage late

	handle /plain* {
		jwtgate {
			audience api
			realm plain
			forward {
				X-User-ID sub
			}
		}
		reverse_proxy BACKEND
	}
	handle_path /stripped/* {
		@inner path /inner/*
		jwtgate @inner {
			audience api
			realm inner
		}
		reverse_proxy BACKEND
	}
	handle /canary* {
		handle @canary {
			jwtgate {
				audience api
				realm canary
			}
			reverse_proxy BACKEND
		}
		handle {
			jwtgate {
				audience api
				realm stable
				optional
			}
			reverse_proxy BACKEND
		}
	}
	handle /named* {
		invoke shared
		reverse_proxy BACKEND
	}
	handle /mapped/* {
		@area vars {area} inner
		jwtgate @area {
			audience api
			realm mapped
		}
		reverse_proxy BACKEND
	}
	handle /vars/* {
		@late vars stage late
		jwtgate @late {
			audience api
			realm vars
		}
		reverse_proxy BACKEND
	}
	handle /cel* {
		@cel expression ` + "`{http.request.method} == \"POST\" || {http.request.header.X-Canary} == \"yes\"`" + `
		jwtgate @cel {
			audience api
			realm cel
			require expr ` + "`request.method != \"POST\"`" + `
		}
		reverse_proxy BACKEND
	}
	handle /route* {
		route {
			uri strip_prefix /route
			@deep path /deep
			jwtgate @deep {
				audience api
				realm deep
			}
			reverse_proxy BACKEND
		}
	}
	handle /two* {
		route {
			jwtgate {
				audience api
				realm first
				forward {
					X-First sub
				}
			}
			jwtgate {
				audience api
				realm second
				require scope admin
				forward {
					X-Second scope
				}
			}
			reverse_proxy BACKEND
		}
	}
	handle /places* {
		jwtgate {
			audience api
			realm places
			token_from cookie session
			token_from query access_token
			strip_token
			cors https://app.example.com
			forward {
				X-User-ID sub
			}
		}
		reverse_proxy BACKEND
	}
	handle /deleted* {
		jwtgate {
			audience api
			realm deleted
			forward {
				X-User-ID sub
			}
		}
		request_header -X-User-ID
		reverse_proxy BACKEND
	}
	handle /near* {
		@near remote_ip 127.0.0.0/8
		jwtgate @near {
			audience api
			realm near
		}
		reverse_proxy BACKEND
	}
	handle /method* {
		method /method/put PUT
		@put method PUT
		jwtgate @put {
			audience api
			realm put
		}
		reverse_proxy BACKEND
	}
	handle /grouped* {
		handle /grouped/a* {
			jwtgate {
				audience api
				realm a
			}
		}
		handle {
			jwtgate {
				audience api
				realm b
				require scope admin
			}
		}
		reverse_proxy BACKEND
	}
	handle /misplaced* {
		jwtgate_logout
		reverse_proxy BACKEND
	}
	handle_errors {
		@own path /two*
		respond @own "own {err.status_code} {jwtgate.code}" {err.status_code}
	}
}
`

// TestExplainWalksAsCaddyDoes sends requests for real and has them explained:
// the same gate, the same answer, the same headers at the backend.
func TestExplainWalksAsCaddyDoes(t *testing.T) {
	l := newExplainLab(t, strings.Replace(walkSites, "handle /plain*", "handle /orders {\njwtgate {\naudience api\n}\nreverse_proxy BACKEND\n}\nhandle /plain*", 1))
	l.Backend.take()
	good, admin := l.sign(nil), l.sign(map[string]any{"scope": "admin"})
	bad := l.sign(map[string]any{"aud": "other"})
	canary := "X-Canary: yes"
	seen := map[string]bool{}
	for _, path := range []string{"/plain", "/plain/5", "/stripped/inner/x", "/stripped/x", "/canary", "/named/x", "/mapped/a", "/mappedx", "/vars/a", "/cel", "/route/deep",
		"/route/other", "/two", "/places?access_token=" + good, "/places", "/deleted", "/near", "/grouped/a", "/grouped/b", "/method/put", "/method/get", "/misplaced", "/nowhere"} {
		for _, token := range []string{"", good, admin, bad} {
			for _, more := range []string{"", canary, "Origin: https://app.example.com", "Cookie: session=" + good, "X-User-ID: mallory", "Content-Type: application/grpc"} {
				for _, method := range []string{"GET", "POST"} {
					var headers []string
					if token != "" {
						headers = append(headers, "Authorization: Bearer "+token)
					}
					if more != "" {
						headers = append(headers, more)
					}
					if method == "GET" || more == canary {
						l.same(t, method, path, headers, seen)
					}
				}
			}
		}
	}
	for _, realm := range []string{"plain", "inner", "canary", "stable", "shared", "mapped", "vars", "cel", "deep", "first", "second", "places", "deleted", "near", "put", "a", "b"} {
		if !seen[realm] {
			t.Errorf("no request was refused by the gate %s", realm)
		}
	}
}

// same compares an answer with its explanation.
func (l *explainLab) same(t *testing.T, method, path string, headers []string, seen map[string]bool) {
	t.Helper()
	real := l.once(method, path, headers...)
	var atBackend http.Header
	if requests := l.Backend.take(); len(requests) == 1 {
		atBackend = requests[0].Header
	}
	o := &explainOrder{Method: method, Host: l.Addr, Path: path, RemoteIP: "127.0.0.1", ShowClaims: true, Headers: map[string][]string{"User-Agent": {"Go-http-client/1.1"}}}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		o.Headers[name] = append(o.Headers[name], value)
	}
	if faults := o.faults(); len(faults) > 0 {
		t.Fatal(faults)
	}
	v, err := openActive()
	if err != nil {
		t.Fatal(err)
	}
	defer v.release()
	x := (&explainSite{http: v.http, list: v.list, now: v.now}).explain(t.Context(), o)
	fail := func(format string, args ...any) {
		t.Helper()
		b, _ := json.Marshal(x)
		t.Errorf("%s %.40s %.60q: %s\n%d %s\n%s", method, path, headers, fmt.Sprintf(format, args...), real.Status, real.Body, b)
	}
	if (x.Answer == nil) != (real.Header.Get("Www-Authenticate") == "" && real.Header.Get("Grpc-Status") == "" && real.Status != 500 && real.Status != 400) {
		fail("an answer of ours: %v", x.Answer != nil)
		return
	}
	if x.Answer != nil {
		_, realm, _ := strings.Cut(real.Header.Get("Www-Authenticate"), `realm="`)
		realm, _, _ = strings.Cut(realm, `"`)
		seen[realm] = true
		if x.Answer.Status != real.Status || x.Answer.Body != real.Body {
			fail("explained as %d %s", x.Answer.Status, x.Answer.Body)
		}
		for _, name := range []string{"WWW-Authenticate", "Grpc-Status", "Grpc-Message", "Content-Type", "Access-Control-Allow-Origin", "Vary"} {
			if x.Verdict != "no_gate" && !slices.Equal(x.Answer.Headers[name], real.Header.Values(name)) {
				fail("%s: %q, explained as %q", name, real.Header.Values(name), x.Answer.Headers[name])
			}
		}
		return
	}
	if (x.End != nil) != (atBackend != nil) {
		fail("explained as ending at %v", x.End)
	}
	told := map[string]string{}
	for _, h := range x.Headers {
		if h.Absent == "" {
			told[h.Name] = h.Value
		}
	}
	got := map[string]string{}
	for name, values := range atBackend {
		if slices.Contains([]string{"X-User-Id", "X-First", "X-Second"}, name) {
			got[name] = strings.Join(values, "|")
		}
	}
	if x.Allowed && !maps.Equal(told, got) {
		fail("the backend got %v, explained as %v", got, told)
	}
}

// TestExplainWithoutRedis: the list is out of touch, and the explanation says
// so.
func TestExplainWithoutRedis(t *testing.T) {
	t.Setenv("LC_ALL", "C.UTF-8")
	server := redistest.Start(t, redistest.Options{})
	s := &setup{Sites: feedSites, Revocation: fmt.Sprintf("journal %s\nredis %s {\ntimeout 1s\n}\nstale_after 2s", filepath.Join(t.TempDir(), "list.db"), server.URL())}
	g := s.start(t)
	raw := g.mint(t, "alice")
	g.becomes("/", raw, 200, "")
	server.Kill()
	g.becomes("/", raw, 503, "revocation_unavailable")
	out, _, err := adminOf(t).run(raw, "explain", "-")
	step, hint := firstCross(out)
	if cli.Code(err) != cli.Refused || !strings.HasPrefix(step, "revocation ") || !strings.Contains(hint, "Redis has not answered") || !strings.Contains(out, "503 Service Unavailable") {
		t.Errorf("%v\n%s", err, out)
	}
}
