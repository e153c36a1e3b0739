package caddymodule

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// offline is a configuration that is provisioned but not started: it listens
// nowhere, opens no revocation list, writes no file and logs nothing. Nor do its
// issuers' keys come by themselves: ask each source for them (RefreshNow).
type offline struct {
	// app holds defaults where the configuration does not name it.
	app *App
	// http is nil when the configuration serves no HTTP.
	http *caddyhttp.App
	// warnings are the adapter's.
	warnings []caddyconfig.Warning
	// file is the name of what was read, for people.
	file string
	// source is what was read, config the same as Caddy's JSON, as it would run.
	source, config []byte
	// caddyfile says that source is a Caddyfile.
	caddyfile bool
	// close releases what provisioning took. It may be called twice.
	close func()
}

// loadOffline adapts and provisions the configuration in file. adapter is empty
// for a Caddyfile (or by the file's name, as `caddy run` guesses it); file is
// "-" for standard input, and empty for the Caddyfile here. Errors name the file
// and the line where there is one. ctx bounds the life of what is loaded, and
// ends nothing by itself: close does.
func loadOffline(ctx context.Context, file, adapter string) (*offline, error) {
	noise.hush()
	o := &offline{file: cmp.Or(file, "Caddyfile"), close: sync.OnceFunc(noise.restore)}
	err := o.read(file, adapter)
	if err == nil {
		if err = o.provision(ctx); err != nil {
			err = o.located(err)
		}
	}
	if err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

// read reads and adapts file.
func (o *offline) read(file, adapter string) error {
	var err error
	if file == "-" {
		o.file = "standard input"
		o.source, err = io.ReadAll(os.Stdin)
	} else {
		o.source, err = os.ReadFile(o.file)
	}
	if errors.Is(err, fs.ErrNotExist) && file == "" {
		return errors.New("there is no Caddyfile here; name the file with --config")
	}
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	if adapter == "" {
		adapter = guessAdapter(o.file, file, o.source)
	}
	o.caddyfile = adapter == "caddyfile"
	if adapter == "" {
		o.config = o.source
		return nil
	}
	by := caddyconfig.GetAdapter(adapter)
	if by == nil {
		return fmt.Errorf("--adapter %s: there is none of that name in this Caddy", adapter)
	}
	name := o.file
	if file == "-" {
		name = "-"
	}
	config, warnings, err := by.Adapt(o.source, map[string]any{"filename": name})
	if err != nil {
		return o.adapted(err)
	}
	o.config, o.warnings = config, warnings
	return nil
}

// guessAdapter returns the adapter that Caddy takes by the file's name, empty
// for JSON. Where there is no name to go by, an opening brace that begins a JSON
// object tells.
func guessAdapter(name, given string, source []byte) string {
	base := strings.ToLower(filepath.Base(name))
	switch {
	case given == "-":
		if json.Valid(bytes.TrimSpace(source)) && len(bytes.TrimSpace(source)) > 0 {
			return ""
		}
		return "caddyfile"
	case filepath.Ext(base) == ".json":
		return ""
	case strings.HasPrefix(base, "caddyfile"), strings.HasSuffix(base, ".caddyfile"):
		return "caddyfile"
	}
	return ""
}

// provision brings the configuration to life without starting it.
func (o *offline) provision(ctx context.Context) error {
	harmless, err := defuse(o.config)
	if err != nil {
		return o.jsonError(err)
	}
	var apps struct {
		Apps    caddy.ModuleMap `json:"apps"`
		Storage json.RawMessage `json:"storage"`
	}
	if err := json.Unmarshal(harmless, &apps); err != nil {
		return o.jsonError(err)
	}
	registerScratch()
	// Apps are loaded by a context of our own, since only the one who made a
	// context can end it. Caddy's is an empty shell that holds nothing.
	shell := &caddy.Config{
		Admin:      &caddy.AdminConfig{Disabled: true},
		StorageRaw: scratchStorage(ctx, apps.Storage),
		Logging: &caddy.Logging{Logs: map[string]*caddy.CustomLog{
			caddy.DefaultLoggerName: {BaseLog: caddy.BaseLog{WriterRaw: json.RawMessage(`{"output":"discard"}`)}},
		}},
	}
	base, err := caddy.ProvisionContext(shell)
	if err != nil {
		return err
	}
	shell.AppsRaw = apps.Apps
	base.Context = context.WithValue(ctx, offlineKey{}, true)
	inner, cancel := caddy.NewContext(base)
	o.close = sync.OnceFunc(func() { cancel(); noise.restore() })
	return o.load(inner, apps.Apps)
}

// load provisions the apps that matter. Others come when a handler asks for
// them.
func (o *offline) load(ctx caddy.Context, apps caddy.ModuleMap) error {
	// Loading takes entries out of the map.
	_, hasHTTP := apps["http"]
	module, err := ctx.App("jwtgate")
	if err != nil {
		return err
	}
	var ok bool
	if o.app, ok = module.(*App); !ok {
		return fmt.Errorf("the app jwtgate is a %T", module)
	}
	if !hasHTTP {
		return nil
	}
	if module, err = ctx.App("http"); err != nil {
		return err
	}
	if o.http, ok = module.(*caddyhttp.App); !ok {
		return fmt.Errorf("the app http is a %T", module)
	}
	return nil
}

// lastKeysKey, in the context of loadOffline, lets issuers begin with the last
// good keys that a gateway has left in the storage of the configuration.
type lastKeysKey struct{}

// scratchStorage is the configuration of the storage to load with.
func scratchStorage(ctx context.Context, storage json.RawMessage) json.RawMessage {
	module := struct {
		Module string          `json:"module"`
		Behind json.RawMessage `json:"behind,omitempty"`
	}{Module: scratchModule}
	if ctx.Value(lastKeysKey{}) != nil {
		module.Behind = storage
		if len(storage) == 0 || string(storage) == "null" {
			// As caddy.DefaultStorage.
			module.Behind = mustJSON(map[string]string{"module": "file_system", "root": caddy.AppDataDir()})
		}
	}
	return mustJSON(module)
}

// mustJSON encodes what always can be.
func mustJSON(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

// offlineKey marks the context of a configuration that is never started.
type offlineKey struct{}
