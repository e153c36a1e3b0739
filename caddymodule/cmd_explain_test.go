package caddymodule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/certmagic"

	"github.com/jwtgate/jwtgate/internal/cli"
	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/jwks"
)

// explainConfig is a site whose gate trusts iss.
func explainConfig(iss, storage string) string {
	return fmt.Sprintf(`{
	storage file_system %s
}
api.example.com {
	jwtgate /orders* {
		issuer %s
		audience api
		forward {
			X-User-ID sub
		}
	}
	reverse_proxy localhost:3000 {
		header_up -X-User-ID
	}
}
shop.example.com {
	jwtgate /orders* {
		issuer %s
		audience shop
	}
	reverse_proxy localhost:3001
}
`, storage, iss, iss)
}

func TestExplainWithConfig(t *testing.T) {
	t.Setenv("LC_ALL", "C.UTF-8")
	iss := issuertest.New(t)
	file := writeFile(t, "Caddyfile", explainConfig(iss.URL(), t.TempDir()))
	c := &console{t, ""}
	run := func(raw string, args ...string) (string, int) {
		t.Helper()
		out, errOut, err := c.run(raw, append([]string{"explain", "--config", file, "--route", "/orders/1", "-"}, args...)...)
		if cli.Code(err) == cli.Usage {
			t.Fatal(err, errOut)
		}
		return out, cli.Code(err)
	}
	good := iss.Sign(nil)

	t.Run("offline", func(t *testing.T) {
		before := iss.KeyRequests() + iss.DiscoveryRequests()
		out, code := run(good, "--offline", "--host", "api.example.com")
		if code != cli.Refused || !strings.Contains(out, "– skip keys") || !strings.Contains(out, "Nobody can tell offline") || strings.Contains(out, "FAIL") {
			t.Errorf("exit %d\n%s", code, out)
		}
		// What is wrong without a key is wrong.
		out, code = run(iss.Sign(map[string]any{"aud": "other"}), "--offline", "--host", "api.example.com")
		if code != cli.Refused || !strings.Contains(out, "✗ FAIL audience") || !strings.Contains(out, "its signature is not known to hold") {
			t.Errorf("exit %d\n%s", code, out)
		}
		if n := iss.KeyRequests() + iss.DiscoveryRequests() - before; n != 0 {
			t.Errorf("%d requests to the issuer", n)
		}
	})
	t.Run("asking the issuer", func(t *testing.T) {
		out, code := run(good, "--host", "api.example.com")
		for _, want := range []string{"https://api.example.com/orders/1", "leads to reverse_proxy localhost:3000", "Gate api.example.com /orders*",
			"✓ ok   signature", "– skip revocation      not asked: the running gateway holds the list", "look for request_header and header_up", "let through"} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
		if code != cli.Done {
			t.Errorf("exit %d", code)
		}
	})
	t.Run("no host", func(t *testing.T) {
		out, code := run(good)
		if !strings.Contains(out, "there are gates for this path at api.example.com and shop.example.com") {
			t.Errorf("exit %d\n%s", code, out)
		}
		if out, code = run(good, "--host", "shop.example.com"); code != cli.Refused || !strings.Contains(out, "(expected: aud shop)") {
			t.Errorf("exit %d\n%s", code, out)
		}
	})
	t.Run("issuer down", func(t *testing.T) {
		iss.Down()
		defer iss.Up()
		out, code := run(good, "--host", "api.example.com")
		if code != cli.Unreachable || !strings.Contains(out, "503 Service Unavailable") || !strings.Contains(out, "the issuer cannot be reached from this gateway") {
			t.Errorf("exit %d\n%s", code, out)
		}
	})
	t.Run("no such file", func(t *testing.T) {
		if _, _, err := c.run("", "explain", "--config", file+"x", "y"); cli.Code(err) != cli.Refused {
			t.Error(err)
		}
	})
}

// TestExplainTakesTheLastGoodKeys that a gateway has left in the storage of the
// configuration.
func TestExplainTakesTheLastGoodKeys(t *testing.T) {
	t.Setenv("LC_ALL", "C.UTF-8")
	iss := issuertest.New(t)
	dir := t.TempDir()
	source, err := jwks.New(jwks.Config{Issuer: iss.URL(), MaxStale: jwks.DefaultMaxStale}, jwks.Options{Storage: &certmagic.FileStorage{Path: dir}})
	if err != nil {
		t.Fatal(err)
	}
	if err := source.RefreshNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	source.Close()
	iss.Down()
	file := writeFile(t, "Caddyfile", explainConfig(iss.URL(), dir))
	c := &console{t, ""}
	for _, args := range [][]string{{"--offline"}, nil} {
		out, _, err := c.run(iss.Sign(nil), append([]string{"explain", "--config", file, "--host", "api.example.com", "--route", "/orders", "-"}, args...)...)
		if err != nil || !strings.Contains(out, "✓ ok   signature") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	// Offline, a key that is not there may have come since.
	out, _, err := c.run(iss.Sign(nil, issuertest.Kid("later")), "explain", "--config", file, "--host", "api.example.com", "--route", "/orders", "--offline", "-")
	if cli.Code(err) != cli.Refused || !strings.Contains(out, "– skip signature") || !strings.Contains(out, "Nobody can tell offline") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestExplainUsage has command lines that are wrong.
func TestExplainUsage(t *testing.T) {
	c := &console{t, ""}
	for _, args := range [][]string{
		{"a", "b"}, {"--route", "orders", "x"}, {"--offline", "x"}, {"--adapter", "json", "x"}, {"--config", "-", "-"}, {"--header", "x", "y"},
		{"--header", "Authorization: Bearer x", "y"}, {"--remote-ip", "here", "x"}, {"--scheme", "ftp", "x"}, {"--method", "G T", "x"},
		{"--timeout", "0s", "x"}, {"--config", "a", "--address", "b", "x"}, {"--host", "a/b", "x"}, {"-"},
	} {
		_, errOut, err := c.run("", append([]string{"explain"}, args...)...)
		if cli.Code(err) != cli.Usage {
			t.Errorf("%v: exit %d: %v %s", args, cli.Code(err), err, errOut)
		}
	}
	c.address = "127.0.0.1:1"
	if _, _, err := c.run("", "explain", "x"); cli.Code(err) != cli.Unreachable {
		t.Errorf("nobody there: %v", err)
	}
}
