package issuer

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

const base = "http://127.0.0.1:8081"

func newIssuer(t *testing.T, change func(*Config)) *Issuer {
	t.Helper()
	cfg := Config{URL: base, Audience: []string{"orders-api"}, Algorithms: []string{"ES256"}}
	if change != nil {
		change(&cfg)
	}
	i, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func do(i http.Handler, method, path, form string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, base+path, strings.NewReader(form))
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for n := 0; n+1 < len(header); n += 2 {
		r.Header.Set(header[n], header[n+1])
	}
	w := httptest.NewRecorder()
	i.ServeHTTP(w, r)
	return w
}

// verified checks raw against the published keys and returns its parts.
func verified(t *testing.T, i *Issuer, raw string) (header, claims map[string]any) {
	t.Helper()
	set, err := jwk.Parse(i.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	payload, err := jws.Verify([]byte(raw), jws.WithKeySet(set))
	if err != nil {
		t.Fatalf("token does not verify under the published keys: %v", err)
	}
	head, err := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[0])
	if err != nil {
		t.Fatal(err)
	}
	if json.Unmarshal(head, &header) != nil || json.Unmarshal(payload, &claims) != nil {
		t.Fatalf("token is no JSON: %s %s", head, payload)
	}
	return header, claims
}

func TestDiscoveryNamesTheEndpoints(t *testing.T) {
	i := newIssuer(t, nil)
	for _, path := range []string{DiscoveryPath, MetadataPath} {
		w := do(i, "GET", path, "")
		var doc map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %v", path, w.Code, err)
		}
		if doc["issuer"] != base || doc["jwks_uri"] != base+"/keys" || doc["token_endpoint"] != base+"/token" {
			t.Errorf("%s: %v", path, doc)
		}
	}
}

func TestKeySetIsCacheable(t *testing.T) {
	i := newIssuer(t, nil)
	w := do(i, "GET", KeysPath, "")
	if w.Code != 200 || w.Header().Get("Cache-Control") != "public, max-age=60" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	etag := w.Header().Get("ETag")
	if again := do(i, "GET", KeysPath, "", "If-None-Match", etag); again.Code != 304 || again.Body.Len() != 0 {
		t.Errorf("same set: %d with %d bytes", again.Code, again.Body.Len())
	}
	if _, err := i.Rotate("", false); err != nil {
		t.Fatal(err)
	}
	if after := do(i, "GET", KeysPath, "", "If-None-Match", etag); after.Code != 200 {
		t.Errorf("after a rotation: %d", after.Code)
	}
}

func TestTokenForAUser(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	i := newIssuer(t, func(c *Config) { c.Now = func() time.Time { return now } })
	w := do(i, "POST", TokenPath, "username=alice")
	var answer struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int    `json:"expires_in"`
		Scope       string `json:"scope"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if answer.TokenType != "Bearer" || answer.ExpiresIn != 300 || answer.Scope != "orders:read orders:write" {
		t.Errorf("answer %+v", answer)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Error("a token may be cached")
	}
	header, claims := verified(t, i, answer.AccessToken)
	if header["typ"] != "at+jwt" || header["alg"] != "ES256" || header["kid"] == "" {
		t.Errorf("header %v", header)
	}
	for name, want := range map[string]any{
		"iss": base, "aud": "orders-api", "sub": "alice", "client_id": DefaultClient, "scope": "orders:read orders:write",
		"email": "alice@example.com", "name": "Alice Åström",
		"iat": float64(now.Unix()), "exp": float64(now.Unix() + 300),
	} {
		if claims[name] != want {
			t.Errorf("%s = %v, want %v", name, claims[name], want)
		}
	}
	roles, _ := json.Marshal(claims["realm_access"])
	if string(roles) != `{"roles":["editor"]}` {
		t.Errorf("realm_access = %s", roles)
	}
	if claims["jti"] == "" || claims["sid"] == "" || claims["jti"] == nil || claims["sid"] == nil {
		t.Errorf("jti %v, sid %v", claims["jti"], claims["sid"])
	}
}

func TestTokenRequest(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	i := newIssuer(t, func(c *Config) {
		c.Now = func() time.Time { return now }
		c.Audience = []string{"a", "b"}
	})
	for _, tt := range []struct {
		name, form string
		claim      string
		want       any
	}{
		{"client", "grant_type=client_credentials&client_id=batch", "sub", "batch"},
		{"client scope", "grant_type=client_credentials&scope=x", "scope", "x"},
		{"client has no session", "grant_type=client_credentials", "sid", nil},
		{"scope", "username=alice&scope=orders:read", "scope", "orders:read"},
		{"sub", "username=alice&sub=someone", "sub", "someone"},
		{"sid", "username=alice&sid=s1", "sid", "s1"},
		{"lifetime in seconds", "username=alice&lifetime=60", "exp", float64(now.Unix() + 60)},
		{"lifetime as duration", "username=alice&lifetime=2m", "exp", float64(now.Unix() + 120)},
		{"expired", "username=alice&lifetime=-1h", "exp", float64(now.Unix() - 3600)},
		{"expired was issued before", "username=alice&lifetime=-1h", "iat", float64(now.Unix() - 3900)},
		{"password grant", "grant_type=password&username=bob&password=any", "sub", "bob"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := do(i, "POST", TokenPath, tt.form+"&format=token")
			if w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			raw := strings.TrimSuffix(w.Body.String(), "\n")
			if strings.Count(raw, ".") != 2 {
				t.Fatalf("format=token answers %q", raw)
			}
			_, claims := verified(t, i, raw)
			if claims[tt.claim] != tt.want {
				t.Errorf("%s = %v, want %v", tt.claim, claims[tt.claim], tt.want)
			}
			if aud, _ := claims["aud"].([]any); len(aud) != 2 {
				t.Errorf("aud = %v", claims["aud"])
			}
		})
	}
}

func TestRefusedTokenRequests(t *testing.T) {
	i := newIssuer(t, nil)
	for _, tt := range []struct{ name, form, want string }{
		{"nothing", "", "invalid_request"},
		{"nobody", "grant_type=password", "invalid_request"},
		{"user as client", "grant_type=client_credentials&username=alice", "invalid_request"},
		{"unknown user", "username=mallory", "invalid_grant"},
		{"other grant", "grant_type=authorization_code", "unsupported_grant_type"},
		{"no refresh token", "grant_type=refresh_token", "invalid_grant"},
		{"unknown refresh token", "grant_type=refresh_token&refresh_token=x", "invalid_grant"},
		{"unknown algorithm", "username=alice&alg=none", "invalid_request"},
		{"secret algorithm", "username=alice&alg=HS256", "invalid_request"},
		{"lifetime in words", "username=alice&lifetime=long", "invalid_request"},
		{"lifetime zero", "username=alice&lifetime=0", "invalid_request"},
		{"lifetime beyond bounds", "username=alice&lifetime=9223372036854775807", "invalid_request"},
		{"too long", "username=" + strings.Repeat("a", maxForm), "invalid_request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := do(i, "POST", TokenPath, tt.form)
			var answer map[string]string
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 400 || answer["error"] != tt.want {
				t.Errorf("%d %s, want 400 %s", w.Code, w.Body, tt.want)
			}
		})
	}
	if w := do(i, "GET", TokenPath+"?username=alice", ""); w.Code != 405 {
		t.Errorf("GET: %d", w.Code)
	}
}

func TestOtherWebPagesGetNothing(t *testing.T) {
	i := newIssuer(t, nil)
	form := url.Values{"username": {"alice"}}.Encode()
	if w := do(i, "POST", TokenPath, form, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"); w.Code != 403 {
		t.Errorf("cross-site token request: %d", w.Code)
	}
	r := httptest.NewRequest("POST", TokenPath, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for host, want := range map[string]int{
		"rebound.evil.example:8081": 421, "127.0.0.1.evil.example": 421, "10.0.0.1": 421,
		"localhost:8081": 200, "127.0.0.1": 200, "[::1]:8081": 200,
	} {
		r := r.Clone(t.Context())
		r.Body = io.NopCloser(strings.NewReader(form))
		r.Host = host
		w := httptest.NewRecorder()
		i.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("Host %s: %d, want %d", host, w.Code, want)
		}
	}
}

func TestListenTakesLoopbackOnly(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0"} {
		if l, err := Listen(address); err == nil {
			l.Close()
			t.Errorf("%s was opened", address)
		}
	}
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestNewRefusesABadURL(t *testing.T) {
	for _, u := range []string{"", "127.0.0.1:8081", "ftp://127.0.0.1", "http://"} {
		if _, err := New(Config{URL: u, Algorithms: []string{"EdDSA"}}); err == nil {
			t.Errorf("%q was taken", u)
		}
	}
}
