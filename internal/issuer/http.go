package issuer

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The paths of the endpoints, below the issuer URL.
const (
	DiscoveryPath   = "/.well-known/openid-configuration"
	MetadataPath    = "/.well-known/oauth-authorization-server"
	KeysPath        = "/keys"
	TokenPath       = "/token"
	RotatePath      = "/rotate"
	maxForm         = 64 << 10
	maxLifetime     = 10 * 365 * 24 * time.Hour
	tokenFormatForm = "token"
)

func (i *Issuer) routes(base *url.URL) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", i.serveAbout)
	mux.HandleFunc("GET "+DiscoveryPath, i.serveDiscovery)
	mux.HandleFunc("GET "+MetadataPath, i.serveDiscovery)
	mux.HandleFunc("GET "+KeysPath, i.serveKeys)
	mux.HandleFunc("POST "+TokenPath, i.serveToken)
	mux.HandleFunc("POST "+RotatePath, i.serveRotate)
	// A web page elsewhere must neither get tokens nor rotate keys through the
	// developer's browser: no cross-origin writes, no DNS name rebound to loopback.
	return http.MaxBytesHandler(onlyHost(base, http.NewCrossOriginProtection().Handler(mux)), maxForm)
}

func onlyHost(base *url.URL, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if host != "localhost" && host != base.Hostname() && (err != nil || !addr.IsLoopback()) {
			http.Error(w, "this development issuer answers to loopback names only", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (i *Issuer) serveAbout(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "A token issuer for development: it gives a token to everybody who asks.\n\n"+
		"GET  %[1]s%[2]s\nGET  %[1]s%[3]s\nPOST %[1]s%[4]s   username=alice [scope=...] [alg=ES256] [lifetime=-1h] [format=token]\nPOST %[1]s%[4]s   grant_type=refresh_token refresh_token=... (from scope=offline_access)\nPOST %[1]s%[5]s   [alg=ES256] [withdraw=true]\n",
		i.cfg.URL, DiscoveryPath, KeysPath, TokenPath, RotatePath)
}

func (i *Issuer) serveDiscovery(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                i.cfg.URL,
		"jwks_uri":                              i.cfg.URL + KeysPath,
		"token_endpoint":                        i.cfg.URL + TokenPath,
		"grant_types_supported":                 []string{"client_credentials", "password", "refresh_token"},
		"response_types_supported":              []string{"token"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": i.cfg.Algorithms,
		"token_endpoint_auth_methods_supported": []string{"none", "client_secret_basic", "client_secret_post"},
	})
}

func (i *Issuer) serveKeys(w http.ResponseWriter, r *http.Request) {
	data := i.JWKS()
	sum := sha256.Sum256(data)
	etag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	h := w.Header()
	h.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(i.cfg.KeysMaxAge/time.Second)))
	h.Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "application/jwk-set+json")
	_, _ = w.Write(data)
}

// serveToken answers the token request of RFC 6749 sections 4.3, 4.4 and 6, as far
// as development needs it: whoever is named is believed. A user who asks for the
// scope offline_access gets a refresh token.
func (i *Issuer) serveToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if err := r.ParseForm(); err != nil {
		oauthError(w, "invalid_request", "the body is not a form of at most 64 KiB")
		return
	}
	form := r.PostForm
	req := Request{
		Username:  form.Get("username"),
		ClientID:  form.Get("client_id"),
		Scope:     form.Get("scope"),
		Subject:   form.Get("sub"),
		SessionID: form.Get("sid"),
		Algorithm: form.Get("alg"),
	}
	if id, _, ok := r.BasicAuth(); ok && req.ClientID == "" {
		req.ClientID = id
	}
	var refreshToken string
	var offline bool
	req.Scope, offline = cutOffline(req.Scope)
	switch grant := form.Get("grant_type"); {
	case grant == "refresh_token":
		var ok bool
		if req, refreshToken, ok = i.refresh.use(form.Get("refresh_token"), req.ClientID); !ok {
			oauthError(w, "invalid_grant", "this refresh token is unknown, has been used, or its session has ended")
			return
		}
	case grant == "client_credentials" && req.Username == "":
	case (grant == "" || grant == "password") && req.Username != "":
	case grant == "" || grant == "password" || grant == "client_credentials":
		oauthError(w, "invalid_request", "give username=NAME, or grant_type=client_credentials without one")
		return
	default:
		oauthError(w, "unsupported_grant_type", "the grants are client_credentials, password and refresh_token")
		return
	}
	lifetime, err := parseLifetime(form.Get("lifetime"))
	if err != nil {
		oauthError(w, "invalid_request", err.Error())
		return
	}
	if lifetime != 0 {
		req.Lifetime = lifetime
	}
	claims, err := i.Claims(req)
	if errors.Is(err, ErrUnknownUser) {
		oauthError(w, "invalid_grant", "this user is not in the directory of the development issuer")
		return
	}
	var signed string
	if err == nil {
		signed, err = i.sign(claims, req.Algorithm)
	}
	if err != nil {
		oauthError(w, "invalid_request", err.Error())
		return
	}
	if offline && req.Username != "" {
		req.ClientID, _ = claims["client_id"].(string)
		req.SessionID, _ = claims["sid"].(string)
		refreshToken = i.refresh.begin(req)
	}
	if form.Get("format") == tokenFormatForm {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, signed)
		return
	}
	answer := map[string]any{"access_token": signed, "token_type": "Bearer"}
	if exp, ok := claims["exp"].(int64); ok {
		answer["expires_in"] = exp - i.cfg.Now().Unix()
	}
	if scope, ok := claims["scope"]; ok {
		answer["scope"] = scope
	}
	if refreshToken != "" {
		answer["refresh_token"] = refreshToken
	}
	writeJSON(w, http.StatusOK, answer)
}

// cutOffline takes offline_access out of a scope: it asks for a refresh token, and
// means nothing to an API.
func cutOffline(scope string) (rest string, asked bool) {
	words := strings.Fields(scope)
	kept := slices.DeleteFunc(words, func(w string) bool { return w == offlineAccess })
	return strings.Join(kept, " "), len(kept) < len(words)
}

func (i *Issuer) serveRotate(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if err := r.ParseForm(); err != nil {
		oauthError(w, "invalid_request", "the body is not a form of at most 64 KiB")
		return
	}
	withdraw := false
	if v := r.Form.Get("withdraw"); v != "" {
		var err error
		if withdraw, err = strconv.ParseBool(v); err != nil {
			oauthError(w, "invalid_request", "withdraw is true or false")
			return
		}
	}
	key, err := i.Rotate(r.Form.Get("alg"), withdraw)
	if err != nil {
		oauthError(w, "invalid_request", err.Error())
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"kid": key.ID(), "alg": key.Algorithm(), "withdrawn": withdraw})
}

// parseLifetime reads seconds or a Go duration; empty is 0, the default.
func parseLifetime(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		seconds, numErr := strconv.ParseInt(s, 10, 64)
		if numErr != nil || math.Abs(float64(seconds)) > maxLifetime.Seconds() {
			return 0, errors.New("lifetime is neither seconds nor a duration such as 90s or -1h")
		}
		d = time.Duration(seconds) * time.Second
	}
	if d == 0 || d.Abs() > maxLifetime {
		return 0, errors.New("lifetime must not be 0 and at most ten years")
	}
	return d, nil
}

func oauthError(w http.ResponseWriter, code, description string) {
	writeJSON(w, http.StatusBadRequest, map[string]string{"error": code, "error_description": description})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v)
}
