package caddymodule

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// FuzzCaddyfile reads lines as the block of a gate and of the app. Whatever is
// accepted survives JSON unchanged, and every error names the file.
func FuzzCaddyfile(f *testing.F) {
	files, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		source := dashes.Split(string(content), 2)[0]
		if _, rest, ok := strings.Cut(source, "jwtgate {\n"); ok {
			f.Add(rest)
			if _, rest, ok := strings.Cut(rest, "jwtgate {\n"); ok {
				f.Add(rest)
			}
		}
	}
	f.Fuzz(func(t *testing.T, lines string) {
		for _, c := range []struct{ in, out caddyfile.Unmarshaler }{
			{new(Handler), new(Handler)}, {new(App), new(App)},
		} {
			d := caddyfile.NewTestDispenser("jwtgate {\n" + lines)
			if err := c.in.UnmarshalCaddyfile(d); err != nil {
				if !strings.Contains(err.Error(), "Testfile:") {
					t.Errorf("no file in %v", err)
				}
				continue
			}
			encoded, err := json.Marshal(c.in)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(encoded), `\ufffd`) {
				continue // bytes that JSON cannot carry
			}
			if err := caddy.StrictUnmarshalJSON(encoded, c.out); err != nil {
				t.Fatalf("%s: %v", encoded, err)
			}
			if !reflect.DeepEqual(c.in, c.out) {
				t.Errorf("%s gives another configuration", encoded)
			}
		}
	})
}

// TestManagedNamesUnderConcurrency registers gates while others read.
func TestManagedNamesUnderConcurrency(t *testing.T) {
	a := &App{state: new(appState)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 1000 {
			a.managed().Match("X-Last")
		}
	}()
	for _, name := range []string{"X-One", "X-Two", "X-One", "X-Last"} {
		if err := a.state.names.register([]string{name}, nil); err != nil {
			t.Error(err)
		}
	}
	<-done
	if !a.managed().Match("x_last") || a.managed().Match("X-Three") {
		t.Error("the union is wrong")
	}
	before := a.managed()
	if err := a.state.names.register([]string{"X-One"}, []string{"X-Token"}); err != nil {
		t.Error(err)
	}
	if a.managed() != before {
		t.Error("a name that is there already makes another set")
	}
}
