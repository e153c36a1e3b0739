package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/jwtgate/jwtgate/token"
)

// testHandler is a gate as far as extraction needs it.
func testHandler(sources ...TokenSource) *Handler {
	return &Handler{run: &runtime{sources: sources, maxToken: 1024}}
}

func TestExtractAuthorization(t *testing.T) {
	const none = token.ReasonNone
	long := strings.Repeat("a", 1025)
	for _, tc := range []struct {
		name  string
		lines []string
		token string
		want  token.Reason
	}{
		{"none", nil, "", none},
		{"empty", []string{""}, "", none},
		{"blanks", []string{" \t "}, "", none},
		{"usual", []string{"Bearer a.b.c"}, "a.b.c", none},
		{"lower case", []string{"bearer a.b.c"}, "a.b.c", none},
		{"upper case", []string{"BEARER a.b.c"}, "a.b.c", none},
		{"mixed case", []string{"bEaReR a.b.c"}, "a.b.c", none},
		{"many blanks", []string{"Bearer    a.b.c"}, "a.b.c", none},
		{"outer blanks", []string{" \tBearer a.b.c \t"}, "a.b.c", none},
		{"every byte of b64token", []string{"Bearer aZ09-._~+/=="}, "aZ09-._~+/==", none},
		{"longest", []string{"Bearer " + long[1:]}, long[1:], none},
		{"too long", []string{"Bearer " + long}, "", token.TokenTooLong},

		{"Basic", []string{"Basic YTpi"}, "", none},
		{"DPoP", []string{"DPoP a.b.c"}, "", none},
		{"Digest", []string{`Digest username="a", realm="b"`}, "", none},
		{"no blank makes another scheme", []string{"Bearertoken"}, "", none},
		{"longer scheme", []string{"Bearer2 a.b.c"}, "", none},
		{"token alone", []string{"a.b.c"}, "", none},
		{"kelvin sign is no k", []string{"BearE\u0280 a.b.c"}, "", none},

		{"scheme alone", []string{"Bearer"}, "", token.AuthorizationMalformed},
		{"scheme and blanks", []string{"Bearer   "}, "", token.AuthorizationMalformed},
		{"tab", []string{"Bearer\ta.b.c"}, "", token.AuthorizationMalformed},
		{"blank and tab", []string{"Bearer \ta.b.c"}, "", token.AuthorizationMalformed},
		{"two tokens", []string{"Bearer a.b.c d.e.f"}, "", token.AuthorizationMalformed},
		{"scheme twice", []string{"Bearer Bearer a.b.c"}, "", token.AuthorizationMalformed},
		{"list", []string{"Bearer a.b.c,Bearer d.e.f"}, "", token.AuthorizationMalformed},
		{"list of schemes", []string{"Bearer a.b.c, Basic YTpi"}, "", token.AuthorizationMalformed},
		{"trailing comma", []string{"Bearer a.b.c,"}, "", token.AuthorizationMalformed},
		{"comma after the scheme", []string{"Bearer, a.b.c"}, "", token.AuthorizationMalformed},
		{"quotes", []string{`Bearer "a.b.c"`}, "", token.AuthorizationMalformed},
		{"quotes after the scheme", []string{`Bearer"a.b.c"`}, "", token.AuthorizationMalformed},
		{"equals after the scheme", []string{"Bearer=a.b.c"}, "", token.AuthorizationMalformed},
		{"slash after the scheme", []string{"Bearer/a.b.c"}, "", token.AuthorizationMalformed},
		{"colon after the scheme", []string{"Bearer: a.b.c"}, "", token.AuthorizationMalformed},
		{"parameter", []string{`Bearer token="a.b.c"`}, "", token.AuthorizationMalformed},
		{"padding inside", []string{"Bearer a=.b.c"}, "", token.AuthorizationMalformed},
		{"padding alone", []string{"Bearer =="}, "", token.AuthorizationMalformed},
		{"percent", []string{"Bearer a%2Eb.c"}, "", token.AuthorizationMalformed},
		{"braces", []string{`Bearer {"payload":"x"}`}, "", token.AuthorizationMalformed},
		{"not ASCII", []string{"Bearer a.b.\u00e9"}, "", token.AuthorizationMalformed},
		{"no-break space", []string{"Bearer\u00a0a.b.c"}, "", token.AuthorizationMalformed},
		{"NUL", []string{"Bearer a.b.c\x00"}, "", token.AuthorizationMalformed},
		{"line break inside", []string{"Bearer a.b\n.c"}, "", token.AuthorizationMalformed},
		{"no scheme", []string{`"a.b.c"`}, "", token.AuthorizationMalformed},

		{"two lines", []string{"Bearer a.b.c", "Bearer d.e.f"}, "", token.AuthorizationMalformed},
		{"equal lines", []string{"Bearer a.b.c", "Bearer a.b.c"}, "", token.AuthorizationMalformed},
		{"Basic and Bearer", []string{"Basic YTpi", "Bearer a.b.c"}, "", token.AuthorizationMalformed},
		{"Bearer and empty", []string{"Bearer a.b.c", ""}, "", token.AuthorizationMalformed},
		{"two of Basic", []string{"Basic YTpi", "Basic YTpi"}, "", token.AuthorizationMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &http.Request{Header: http.Header{}, URL: &url.URL{}}
			if tc.lines != nil {
				r.Header["Authorization"] = tc.lines
			}
			c, refusal := testHandler().extract(r)
			checkExtracted(t, c, refusal, tc.token, tc.want)
			if c.source != nil {
				t.Errorf("source is %+v", c.source)
			}
		})
	}
}

func checkExtracted(t *testing.T, c credential, refusal *token.Refusal, want string, reason token.Reason) {
	t.Helper()
	got := token.ReasonNone
	if refusal != nil {
		got = refusal.Reason
		if c != (credential{}) {
			t.Errorf("refused, and yet a credential")
		}
		if strings.Contains(refusal.Want+refusal.Got+refusal.Error(), "a.b.c") {
			t.Errorf("the refusal repeats the token: %+v", refusal)
		}
	}
	if got != reason || c.token != want {
		t.Errorf("got %q, reason %q; want %q, %q", c.token, got, want, reason)
	}
}

var (
	fromHeader    = TokenSource{From: "header", Name: "x-token"}
	fromCookie    = TokenSource{From: "cookie", Name: "session", Origins: []string{"https://app.example.com"}}
	fromQuery     = TokenSource{From: "query", Name: "access_token"}
	fromWebsocket = TokenSource{From: "websocket"}
)

// request reads a request head of fields, one per line.
func request(target, fields string) *http.Request {
	r := httptest.NewRequest("GET", target, nil)
	r.Host = "api.example.com"
	for line := range strings.Lines(fields) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			r.Header.Add(name, strings.TrimSpace(value))
		}
	}
	return r
}

const upgrade = "Connection: keep-alive, Upgrade\nUpgrade: websocket\n"

func TestExtractOtherPlaces(t *testing.T) {
	const none = token.ReasonNone
	long := strings.Repeat("a", 1025)
	all := []TokenSource{fromHeader, fromCookie, fromQuery, fromWebsocket}
	for _, tc := range []struct {
		name, target, fields string
		token, source        string
		want                 token.Reason
	}{
		{"nothing", "/", "", "", "", none},
		{"Authorization beside empty places", "/?access_token=", "Authorization: Bearer a.b.c\nX-Token:\nCookie: session=", "a.b.c", "", none},

		{"header raw", "/", "X-Token: a.b.c", "a.b.c", "header", none},
		{"header with scheme", "/", "X-Token: bearer  a.b.c", "a.b.c", "header", none},
		{"header empty", "/", "X-Token:", "", "", none},
		{"header with scheme alone", "/", "X-Token: Bearer", "", "", token.AuthorizationMalformed},
		{"header with other scheme", "/", "X-Token: Basic a.b.c", "", "", token.AuthorizationMalformed},
		{"header list", "/", "X-Token: a.b.c, d.e.f", "", "", token.AuthorizationMalformed},
		{"header twice", "/", "X-Token: a.b.c\nX-Token: a.b.c", "", "", token.TokenDuplicate},
		{"header and Authorization, the same", "/", "X-Token: a.b.c\nAuthorization: Bearer a.b.c", "", "", token.TokenDuplicate},
		{"header and Basic", "/", "X-Token: a.b.c\nAuthorization: Basic YTpi", "a.b.c", "header", none},
		{"header and malformed Authorization", "/", "X-Token: a.b.c\nAuthorization: Bearer", "", "", token.AuthorizationMalformed},
		{"header in another spelling", "/", "X_Token: a.b.c", "", "", none},
		{"header too long", "/", "X-Token: " + long, "", "", token.TokenTooLong},
		{"two too long ones", "/", "X-Token: " + long + "\nAuthorization: Bearer " + long, "", "", token.TokenDuplicate},

		{"cookie", "/", "Cookie: a=1; session=a.b.c; b=2", "a.b.c", "cookie", none},
		{"cookie of another case", "/", "Cookie: Session=a.b.c", "", "", none},
		{"cookie prefix", "/", "Cookie: xsession=a.b.c; session2=a.b.c", "", "", none},
		{"cookie quoted", "/", `Cookie: session="a.b.c"`, "a.b.c", "cookie", none},
		{"cookie empty", "/", "Cookie: session=", "", "", none},
		{"cookie twice", "/", "Cookie: session=a.b.c; session=a.b.c", "", "", token.TokenDuplicate},
		{"cookie twice in two lines", "/", "Cookie: session=a.b.c\nCookie: session=d.e.f", "", "", token.TokenDuplicate},
		{"cookie twice, one of them invalid", "/", "Cookie: session=a.b.c; session=x\"y", "", "", token.TokenDuplicate},
		{"cookie twice, one of them empty", "/", "Cookie: session=; session=a.b.c", "", "", token.TokenDuplicate},
		{"cookie with scheme", "/", "Cookie: session=Bearer a.b.c", "", "", token.AuthorizationMalformed},
		{"cookie escaped", "/", "Cookie: session=a%2Eb.c", "", "", token.AuthorizationMalformed},
		{"cookie and Authorization", "/", "Cookie: session=a.b.c\nAuthorization: Bearer d.e.f", "", "", token.TokenDuplicate},

		{"query", "/?a=1&access_token=a.b.c&b", "", "a.b.c", "query", none},
		{"query escaped", "/?access%5Ftoken=a%2Eb%2Ec", "", "a.b.c", "query", none},
		{"query of another case", "/?Access_Token=a.b.c", "", "", "", none},
		{"query twice", "/?access_token=a.b.c&access_token=a.b.c", "", "", "", token.TokenDuplicate},
		{"query twice, once escaped", "/?access_token=a.b.c&%61ccess_token=d.e.f", "", "", "", token.TokenDuplicate},
		{"query with plus", "/?access_token=a.b+c", "", "", "", token.AuthorizationMalformed},
		{"query with broken escape", "/?access_token=a.b.c%2", "", "", "", token.AuthorizationMalformed},
		{"query and Authorization", "/?access_token=a.b.c", "Authorization: Bearer a.b.c", "", "", token.TokenDuplicate},
		{"query after a semicolon is part of a value", "/?a=1;access_token=a.b.c", "", "", "", none},

		{"websocket", "/", upgrade + "Sec-WebSocket-Protocol: chat, jwtgate.bearer.a.b.c", "a.b.c", "websocket", none},
		{"websocket in a second line", "/", upgrade + "Sec-WebSocket-Protocol: chat\nSec-WebSocket-Protocol: jwtgate.bearer.a.b.c", "a.b.c", "websocket", none},
		{"websocket empty", "/", upgrade + "Sec-WebSocket-Protocol: jwtgate.bearer.", "", "", none},
		{"websocket twice", "/", upgrade + "Sec-WebSocket-Protocol: jwtgate.bearer.a.b.c, jwtgate.bearer.d.e.f", "", "", token.TokenDuplicate},
		{"websocket of another case", "/", upgrade + "Sec-WebSocket-Protocol: JWTGATE.bearer.a.b.c", "", "", none},
		{"websocket without an upgrade", "/", "Sec-WebSocket-Protocol: jwtgate.bearer.a.b.c", "", "", none},
		{"websocket and Authorization", "/", upgrade + "Sec-WebSocket-Protocol: jwtgate.bearer.a.b.c\nAuthorization: Bearer a.b.c", "", "", token.TokenDuplicate},
		{"websocket malformed", "/", upgrade + "Sec-WebSocket-Protocol: jwtgate.bearer.a'b", "", "", token.AuthorizationMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := request(tc.target, tc.fields)
			c, refusal := testHandler(all...).extract(r)
			checkExtracted(t, c, refusal, tc.token, tc.want)
			source := ""
			if c.source != nil {
				source = c.source.From
			}
			if source != tc.source {
				t.Errorf("source is %q, want %q", source, tc.source)
			}
		})
	}
}

func TestExtractReadsConfiguredPlacesAlone(t *testing.T) {
	const fields = upgrade + `X-Token: a.b.c
		Cookie: session=a.b.c; access_token=a.b.c
		Sec-WebSocket-Protocol: jwtgate.bearer.a.b.c
		Proxy-Authorization: Bearer a.b.c
		X-Authorization: Bearer a.b.c
		Authorization_: Bearer a.b.c`
	r := request("/?access_token=a.b.c", fields)
	c, refusal := testHandler().extract(r)
	checkExtracted(t, c, refusal, "", token.ReasonNone)
	if want := request("/?access_token=a.b.c", fields); !reflect.DeepEqual(r.Header, want.Header) || r.RequestURI != want.RequestURI {
		t.Errorf("the request was changed: %v", r)
	}
}

func TestStripToken(t *testing.T) {
	for _, tc := range []struct {
		name         string
		source       TokenSource
		fields, want string
	}{
		{"none", fromCookie, "Authorization: Basic YTpi\nCookie: a=1", "Authorization: Basic YTpi\nCookie: a=1"},
		{"authorization", fromCookie, "Authorization: Bearer a.b.c\nCookie: a=1", "Cookie: a=1"},
		{"header", fromHeader, "X-Token: a.b.c\nAuthorization: Basic YTpi", "Authorization: Basic YTpi"},
		{"cookie alone", fromCookie, "Cookie: session=a.b.c", ""},
		{"cookie first", fromCookie, "Cookie: session=a.b.c; b=\"2 3\"", "Cookie: b=\"2 3\""},
		{"cookie in the middle", fromCookie, "Cookie: a=1;  session=a.b.c; Session=x;b=2", "Cookie: a=1; Session=x;b=2"},
		{"cookie last", fromCookie, "Cookie: a=b=c; session=a.b.c", "Cookie: a=b=c"},
		{"cookie in a second line", fromCookie, "Cookie: a=1\nCookie: session=a.b.c\nCookie: b=2", "Cookie: a=1\nCookie: b=2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := request("/", tc.fields)
			c, refusal := testHandler(tc.source).extract(r)
			if refusal != nil {
				t.Fatal(refusal)
			}
			stripToken(r, c)
			if want := request("/", tc.want); !reflect.DeepEqual(r.Header, want.Header) {
				t.Errorf("got %v, want %v", r.Header, want.Header)
			}
		})
	}
}

func TestExtractAllocatesNothing(t *testing.T) {
	for name, h := range map[string]*Handler{
		"Authorization alone": testHandler(),
		"every place":         testHandler(TokenSource{From: "header", Name: "X-Token"}, fromCookie, fromQuery, fromWebsocket),
	} {
		r := usualRequest()
		if n := testing.AllocsPerRun(100, func() { h.extract(r) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func FuzzExtract(f *testing.F) {
	f.Add("Bearer a.b.c", "", "a=1", "x=y", "chat")
	f.Add("Basic YTpi", "a.b.c", "session=a.b.c", "access_token=%61", "jwtgate.bearer.a.b.c, chat")
	f.Add("bearer \t", "Bearer a", "session=\"a\"; session", "access%5ftoken=+&%zz", "jwtgate.bearer.,")
	f.Fuzz(func(t *testing.T, authorization, header, cookie, query, protocol string) {
		r := &http.Request{Method: "GET", URL: &url.URL{RawQuery: query}, Header: http.Header{
			"Authorization": {authorization}, "X-Token": {header}, "Cookie": {cookie},
			"Sec-Websocket-Protocol": {protocol}, "Connection": {"Upgrade"}, "Upgrade": {"websocket"},
			"Origin": {"https://app.example.com"},
		}}
		c, refusal := testHandler(fromHeader, fromCookie, fromQuery, fromWebsocket).extract(r)
		if refusal != nil && c.token != "" {
			t.Error("refused, and yet a token")
		}
		const b64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
		if c.token != "" && (strings.Trim(strings.TrimRight(c.token, "="), b64) != "" || c.token[0] == '=') {
			t.Errorf("%q is no b64token", c.token)
		}
		if values, _ := url.ParseQuery(r.URL.RawQuery); values.Has("access_token") {
			t.Errorf("the query is still %q", r.URL.RawQuery)
		}
		for _, line := range r.Header["Sec-Websocket-Protocol"] {
			for p := range strings.SplitSeq(line, ",") {
				if strings.HasPrefix(strings.TrimSpace(p), tokenProtocol) {
					t.Errorf("the subprotocols are still %q", line)
				}
			}
		}
		if c.token == "" {
			return
		}
		stripToken(r, c)
		if again, _ := testHandler(fromHeader, fromCookie, fromQuery, fromWebsocket).extract(r); again.token != "" {
			t.Errorf("a second token after the first was stripped: %q", again.token)
		}
	})
}

func BenchmarkExtractEveryPlace(b *testing.B) {
	h := testHandler(fromHeader, fromCookie, fromQuery, fromWebsocket)
	r := usualRequest()
	b.ReportAllocs()
	for b.Loop() {
		h.extract(r)
	}
}

// TestB64TokenAtEveryPlace: the alphabet is asked of every byte, wherever in a
// group of eight it stands.
func TestB64TokenAtEveryPlace(t *testing.T) {
	for n := 1; n <= 26; n++ {
		good := strings.Repeat("aZ9-._~+/", 3)[:n]
		if !isB64Token(good) || !isB64Token(good+"==") {
			t.Errorf("%q is refused", good)
		}
		for i := range n {
			for _, bad := range []byte{0, ' ', '%', ',', '=', ':', '@', '[', '`', '{', 0x7F, 0x80, 0xFF} {
				text := good[:i] + string([]byte{bad}) + good[i+1:]
				// Padding at the end is none of the alphabet, and legal.
				if want := bad == '=' && i == n-1 && n > 1; isB64Token(text) != want {
					t.Errorf("%q: %v", text, !want)
				}
			}
		}
	}
}
