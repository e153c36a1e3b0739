package jwks

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

func TestRestartWithIssuerDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		f := newFakeIssuer(rsaJWKObject("r").with(object{"alg": "RS256"}), ecJWKObject("e"), rsaJWKObject("x").with(object{"d": "AQAB"}))
		f.header = cacheControl("max-age=1800")
		cfg := remoteConfig()
		cfg.MaxStale = 10 * time.Hour
		cfg.Secret = []byte("0123456789abcdef0123456789abcdef")
		began := time.Now()
		first := start(t, cfg, Options{transport: f, Storage: m})
		synctest.Wait()
		before, _ := first.Keys(time.Now())
		first.Close()
		if _, data := m.only(t); strings.Contains(string(data), "0123456789") || strings.Contains(string(data), `"d"`) {
			t.Errorf("a secret is stored:\n%s", data)
		}

		f.set(func(f *fakeIssuer) { f.status = 500 })
		time.Sleep(5 * time.Hour)
		log := &logbook{}
		s := start(t, cfg, Options{transport: f, Storage: m, Logger: slog.New(log)})
		synctest.Wait()
		set, reason := s.Keys(time.Now())
		if reason != token.ReasonNone || !set.sameKeys(before) {
			t.Fatalf("keys %v, %v", set, reason)
		}
		end := began.Add(30*time.Minute + cfg.MaxStale)
		if st := s.Status(); !st.UsableUntil.Equal(end) || !st.FetchedAt.Equal(began) || !st.Stale {
			t.Errorf("status %+v, want usable until %s", st, end)
		}
		if e, w := log.count(slog.LevelError), log.count(slog.LevelWarn); e != 0 || w != 1 {
			t.Errorf("%d errors, %d warnings:\n%s", e, w, log.text())
		}
		// An unknown kid can not be judged while the issuer is down.
		if outcome := s.Refetch(context.Background(), set); outcome != Failed {
			t.Errorf("outcome %d", outcome)
		}
		s.Close()

		time.Sleep(time.Until(end))
		s = start(t, cfg, Options{transport: f, Storage: m})
		synctest.Wait()
		if set, _ := s.Keys(time.Now()); set.HasKid("e") {
			t.Error("keys past max_stale are used")
		}
	})
}

func TestStoredKeysAreReplacedByFetchedOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		f := newFakeIssuer(ecJWKObject("old"))
		first := start(t, remoteConfig(), Options{transport: f, Storage: m})
		synctest.Wait()
		first.Close()
		f.rotate(ecFresh("new"))
		s := start(t, remoteConfig(), Options{transport: f, Storage: m})
		synctest.Wait()
		if set, _ := s.Keys(time.Now()); !set.HasKid("new") || set.HasKid("old") {
			t.Error("a stored key outlives its withdrawal")
		}
		if _, data := m.only(t); !strings.Contains(string(data), `"new"`) {
			t.Errorf("stored: %s", data)
		}
	})
}

func TestStoredRecordsRefused(t *testing.T) {
	good := record{Version: recordVersion, Issuer: issuerURL, FetchedAt: time.Now(), Document: []byte(keySet(ecJWKObject("e")))}
	encode := func(change func(*record)) string {
		r := good
		change(&r)
		return string(must(json.Marshal(object{"version": r.Version, "issuer": r.Issuer, "fetched_at": r.FetchedAt, "fresh_seconds": r.FreshSeconds, "document": json.RawMessage(r.Document)})))
	}
	if _, err := parseRecord([]byte(encode(func(*record) {})), issuerURL); err != nil {
		t.Fatalf("the good record: %v", err)
	}
	for name, text := range map[string]string{
		"empty":             "",
		"not json":          "x",
		"half":              encode(func(*record) {})[:100],
		"another version":   encode(func(r *record) { r.Version = 2 }),
		"another issuer":    encode(func(r *record) { r.Issuer = "https://evil" }),
		"no time":           encode(func(r *record) { r.FetchedAt = time.Time{} }),
		"fresh for ever":    encode(func(r *record) { r.FreshSeconds = 1 << 40 }),
		"fresh negative":    encode(func(r *record) { r.FreshSeconds = -1 }),
		"empty document":    encode(func(r *record) { r.Document = []byte(`{"keys":[]}`) }),
		"symmetric key":     encode(func(r *record) { r.Document = []byte(keySet(object{"kty": "oct", "k": "AAAA"})) }),
		"document a string": encode(func(r *record) { r.Document = []byte(`"x"`) }),
		"unknown member":    strings.Replace(encode(func(*record) {}), `{`, `{"more":1,`, 1),
		"member twice":      strings.Replace(encode(func(*record) {}), `{`, `{"version":1,`, 1),
		"too long":          encode(func(*record) {}) + strings.Repeat(" ", 2*maxDocument),
	} {
		if _, err := parseRecord([]byte(text), issuerURL); err == nil {
			t.Errorf("%s: accepted", name)
		}
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			cfg := remoteConfig()
			m.data[cfg.storageName(nil)] = []byte(text)
			log := &logbook{}
			f := newFakeIssuer(ecJWKObject("e"))
			f.status = 500
			s := start(t, cfg, Options{transport: f, Storage: m, Logger: slog.New(log)})
			synctest.Wait()
			if hasKeys(s) || log.count(slog.LevelWarn) != 1 {
				t.Errorf("%s: has keys %t, log:\n%s", name, hasKeys(s), log.text())
			}
		})
	}
}

func TestRecordFromTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		f := newFakeIssuer(ecJWKObject("e"))
		cfg := remoteConfig()
		cfg.MaxStale = time.Hour
		first := start(t, cfg, Options{transport: f, Storage: m, Now: func() time.Time { return time.Now().Add(1000 * time.Hour) }})
		synctest.Wait()
		first.Close()
		f.set(func(f *fakeIssuer) { f.status = 500 })
		s := start(t, cfg, Options{transport: f, Storage: m})
		synctest.Wait()
		if want := time.Now().Add(DefaultRefresh + time.Hour); !s.Status().UsableUntil.Equal(want) {
			t.Errorf("usable until %s, want %s", s.Status().UsableUntil, want)
		}
	})
}

func TestUnchangedKeysAreWrittenSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		cfg := remoteConfig()
		cfg.Refresh = time.Second
		s := start(t, cfg, Options{transport: newFakeIssuer(ecJWKObject("e")), Storage: m})
		time.Sleep(10*time.Minute + 30*time.Second)
		s.Close()
		if m.stores < 10 || m.stores > 12 {
			t.Errorf("%d writes in ten minutes", m.stores)
		}
	})
}

func TestStorageThatFailsIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.fail = true
		log := &logbook{}
		s := start(t, remoteConfig(), Options{transport: newFakeIssuer(ecJWKObject("e")), Storage: m, Logger: slog.New(log)})
		time.Sleep(2 * time.Hour)
		s.Close()
		if !hasKeys(s) && log.count(slog.LevelWarn) != 1 || m.stores < 10 {
			t.Errorf("%d writes:\n%s", m.stores, log.text())
		}
		if n := log.count(slog.LevelWarn); n != 1 {
			t.Errorf("%d warnings:\n%s", n, log.text())
		}
	})
}

// slow is a Storage that takes its time and honours contexts.
type slow struct {
	*memory
	delay time.Duration
}

func (s slow) wait(ctx context.Context) error {
	select {
	case <-time.After(s.delay):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s slow) Load(ctx context.Context, name string) ([]byte, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.memory.Load(ctx, name)
}

func (s slow) Store(ctx context.Context, name string, data []byte) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	return s.memory.Store(ctx, name, data)
}

func TestSlowStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		f := newFakeIssuer(ecJWKObject("e"))
		began := time.Now()
		s := start(t, remoteConfig(), Options{transport: f, Storage: slow{m, time.Hour}})
		if time.Since(began) != 0 {
			t.Error("New waits for storage")
		}
		time.Sleep(loadPatience)
		synctest.Wait()
		if !hasKeys(s) {
			t.Error("the first fetch waits for storage")
		}
		time.Sleep(2 * DefaultRefresh)
		if f.fetches() < 3 {
			t.Error("refreshing waits for storage")
		}
		closing := time.Now()
		s.Close()
		if d := time.Since(closing); d > storageTimeout {
			t.Errorf("Close took %s", d)
		}
	})
}

// Storage that answers after the first attempt has failed still helps.
func TestLateStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		f := newFakeIssuer(ecJWKObject("e"))
		cfg := remoteConfig()
		cfg.MaxStale = time.Hour
		first := start(t, cfg, Options{transport: f, Storage: m})
		synctest.Wait()
		first.Close()
		f.set(func(f *fakeIssuer) { f.status = 500 })
		log := &logbook{}
		s := start(t, cfg, Options{transport: f, Storage: slow{m, 4 * time.Second}, Logger: slog.New(log)})
		time.Sleep(3 * time.Second)
		if hasKeys(s) {
			t.Fatal("keys too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !hasKeys(s) {
			t.Error("late keys are not used")
		}
		f.set(func(f *fakeIssuer) { f.status = 0 })
		time.Sleep(time.Minute)
		synctest.Wait()
		if !strings.Contains(log.text(), "refreshed again") {
			t.Errorf("log:\n%s", log.text())
		}
	})
}

func TestMissingRecordIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logbook{}
		start(t, remoteConfig(), Options{transport: newFakeIssuer(ecJWKObject("e")), Storage: newMemory(), Logger: slog.New(log)})
		synctest.Wait()
		if log.count(slog.LevelWarn)+log.count(slog.LevelError) != 0 {
			t.Errorf("log:\n%s", log.text())
		}
	})
}
