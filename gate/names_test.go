package gate

import (
	"strings"
	"testing"
)

func TestFold(t *testing.T) {
	for name, want := range map[string]string{
		"X-User-ID": "x-user-id", "x_user_id": "x-user-id", "X.User.ID": "x-user-id", "X!User~ID": "x-user-id",
		"X--User-_.ID": "x-user-id", "XUserID": "xuserid", "X-User-ID-": "x-user-id-", "": "", "é": "-",
	} {
		if got := Fold(name); got != want {
			t.Errorf("Fold(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestCheckManagedName(t *testing.T) {
	for _, name := range []string{
		"X-User-ID", "x-user", "User", "X-Forwarded-User", "X-Forwarded-Prefix", "X-Auth-Host", "Remote-User",
		"Contents", "X-Content-Owner", "X-Cookie", "X-Authorization", "X!User", "Team", "Viable", "Ranger",
	} {
		if err := CheckManagedName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{
		"", "Host", "HOST", "Content-Length", "content-type", "Content-Foo", "Content!Length", "Content", "Proxy", "Connection", "Keep-Alive",
		"Keep!Alive", "KeepAlive", "Proxy-Authorization", "Proxy-Authenticate", "Proxy-Connection", "Proxy-Foo", "TE", "te", "Trailer",
		"Transfer-Encoding", "transfer~encoding", "Upgrade", "Authorization", "Cookie", "Accept-Encoding", "Range", "Via",
		"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "x!forwarded!for", "XForwardedFor", "Expect",
		"Sec-WebSocket-Key", "HTTP2-Settings", "X_User", "X.User", "X User", "X:User", "X-User\n", "X-Üser", "X-User*", "X*User", "---",
		"Cookie-", "-Host", strings.Repeat("a", maxManagedName+1),
	} {
		if CheckManagedName(name) == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}

func TestCheckManagedPattern(t *testing.T) {
	for _, p := range []string{"X-User-ID", "X-User-*", "x-jwt-*", "Remote-*", "X-Forwarded-User-*", "X-Conte-*", "Abc-*"} {
		if err := CheckManagedPattern(p); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
	for _, p := range []string{
		"*", "X-*", "X-A-*", "Ab-*", "X-User*", "*-User", "X-*-ID", "X-User-**", "X-User-*-*", "X_User-*", "X.User-*", "123-*",
		"X-Forwarded-*", "Content-*", "Content-User-*", "Proxy-*", "Proxy-User-*", "Accept-*", "Transfer-*", "Keep-*",
		"Sec-*", "Sec-WebSocket-*", "accept-*", "Host", "",
	} {
		if CheckManagedPattern(p) == nil {
			t.Errorf("%q is accepted", p)
		}
	}
}

func TestManagedNamesMatchEverySpelling(t *testing.T) {
	m := NewManagedNames("X-User-ID", "X-Auth-*", "Remote-User")
	for _, name := range []string{
		"X-User-ID", "x-user-id", "X_User_ID", "X.User.ID", "X-User_ID", "X!User#ID", "X--User-ID", "x_-user.~id", "REMOTE_USER",
		"X-Auth-Anything", "X_AUTH_ANYTHING", "X.Auth.x", "X-Auth-", "X-Auth--a", "x-auth-" + strings.Repeat("y", 500),
		"X" + strings.Repeat("-", 500) + "User-ID",
	} {
		if !m.Match(name) {
			t.Errorf("%q slips through", name)
		}
	}
	for _, name := range []string{
		"", "X-User", "X-User-IDs", "X-User-I", "XUserID", "X-Author", "X-Authorize", "X-Auth", "Authorization", "Accept",
		"Y-User-ID", "Remote-User-Agent", strings.Repeat("x", 1000),
	} {
		if m.Match(name) {
			t.Errorf("%q is caught", name)
		}
	}
}

func TestTrapWildcardKeepsItsHyphen(t *testing.T) {
	m := NewManagedNames("X-User-*")
	if m.Match("X-Username") || !m.Match("X-User-Name") || !m.Match("X_User_Name") || !m.Match("X.User.Name") {
		t.Error("X-User-* catches X-Username or lets an alias of X-User-Name pass")
	}
}

// Every header name character that is neither letter nor digit is an alias of
// the hyphen to some backend.
func TestTrapAliasesOfEveryTokenCharacter(t *testing.T) {
	m := NewManagedNames("X-User-Id")
	for _, c := range "!#$%&'*+-.^_`|~" {
		if name := "X" + string(c) + "User" + string(c) + "Id"; !m.Match(name) {
			t.Errorf("%q slips through", name)
		}
	}
}

func TestManagedNamesUnion(t *testing.T) {
	a, b := NewManagedNames("X-A", "X-User-*"), NewManagedNames("x-a", "X-B")
	u := a.Union(nil, b, NewManagedNames())
	for _, name := range []string{"X-A", "X-B", "X-User-X"} {
		if !u.Match(name) {
			t.Errorf("%q is missing", name)
		}
	}
	if got := strings.Join(u.Patterns(), " "); got != "X-A X-B X-User-*" {
		t.Errorf("patterns are %q", got)
	}
	if a.Match("X-B") {
		t.Error("the union changed its operand")
	}
	var none *ManagedNames
	if none.Match("X-A") || NewManagedNames().Match("") || !none.Union(a).Match("X-A") {
		t.Error("the empty set matches, or adds nothing")
	}
}

func TestManagedNamesMatchAllocatesNothing(t *testing.T) {
	m := NewManagedNames("X-User-ID", "X-Auth-*", strings.Repeat("a", maxManagedName))
	long := strings.Repeat("a_", 2000)
	if n := testing.AllocsPerRun(100, func() {
		if !m.Match("X_User_ID") || m.Match(long) || m.Match("User-Agent") {
			t.Fatal("wrong answer")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzManagedNames: folding is idempotent, and a name is matched exactly when
// its folded form equals that of an entry or begins with that of a wildcard.
func FuzzManagedNames(f *testing.F) {
	f.Add("X_User-ID")
	f.Add("x--auth..z")
	m := NewManagedNames("X-User-ID", "X-Auth-*")
	f.Fuzz(func(t *testing.T, name string) {
		folded := Fold(name)
		if Fold(folded) != folded {
			t.Fatalf("%q folds to %q, then to %q", name, folded, Fold(folded))
		}
		want := folded == "x-user-id" || strings.HasPrefix(folded, "x-auth-")
		if m.Match(name) != want || m.Match(folded) != want {
			t.Fatalf("%q: matched %v, want %v", name, m.Match(name), want)
		}
		if CheckManagedPattern(name) == nil && !NewManagedNames(name).Match(strings.TrimSuffix(name, "*")) {
			t.Fatalf("%q does not match itself", name)
		}
	})
}

func BenchmarkManagedNamesMatch(b *testing.B) {
	m := NewManagedNames("X-User-ID", "X-User-Email", "X-User-Roles", "X-Auth-*")
	names := []string{"Accept", "Accept-Encoding", "User-Agent", "Authorization", "X-Request-Id", "Content-Type", "Cookie", "X-User-Id"}
	b.ReportAllocs()
	for b.Loop() {
		for _, n := range names {
			m.Match(n)
		}
	}
}
