package caddymodule

import (
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/revocation"
)

// revocationStatus is how the revocation list does.
type revocationStatus struct {
	Loaded bool   `json:"loaded"`
	Error  string `json:"error,omitempty"` // why it will not be loaded
	// Done of Total entries of the journal have been read.
	Done    int            `json:"done"`
	Total   int            `json:"total"`
	ByKind  map[string]int `json:"by_kind"` // in force
	Undone  int            `json:"undone"`
	Journal *journalStatus `json:"journal"` // null: off
}

// journalStatus is how the disk does.
type journalStatus struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"` // with its log
	// NotDurable are changes that are in force and on no disk yet.
	NotDurable int    `json:"not_durable"`
	Error      string `json:"error,omitempty"` // why nothing can be written at present
}

// feedStatus is how the feed between gateways does.
type feedStatus struct {
	State string `json:"state"` // starting, fresh, stale
	Redis string `json:"redis"` // without credentials
	// OnStale is what becomes of requests while it is stale: deny or allow.
	OnStale    string     `json:"on_stale"`
	Outbox     int        `json:"outbox"` // changes that wait for Redis
	Stream     int64      `json:"stream"` // entries in Redis when it was asked last
	LagSeconds float64    `json:"lag_seconds"`
	LastAnswer *time.Time `json:"last_answer,omitempty"` // when the end of the stream was read last
	Losses     uint64     `json:"losses"`                // how often Redis had lost data
	Malformed  uint64     `json:"malformed"`
	LastError  string     `json:"last_error,omitempty"` // what is wrong at present
}

func (v *adminView) revocationStatus() revocationStatus {
	stats := v.list.Stats()
	s := revocationStatus{Loaded: true, ByKind: make(map[string]int), Undone: stats.Undone}
	if err := v.list.Ready(); err != nil {
		s.Loaded = false
		if damage := loadFault(err); damage != nil {
			s.Error = damage.Error()
		}
	}
	s.Done, s.Total = v.list.Progress()
	counts := v.list.Count()
	for _, kind := range revocation.Kinds() {
		s.ByKind[kind.String()] = counts[kind]
	}
	if v.about.journal != "" {
		s.Journal = &journalStatus{v.about.journal, stats.DiskBytes, stats.NotDurable, stats.DiskError}
	}
	return s
}

func (v *adminView) feedStatus(now time.Time) *feedStatus {
	settings := v.about.settings
	if settings == nil || settings.redis == nil {
		return nil
	}
	s := &feedStatus{State: revocation.FeedStarting.String(), Redis: settings.redis.address(), OnStale: settings.onStale}
	status := v.about.feed()
	if status == nil {
		return s
	}
	s.State, s.Redis, s.Outbox, s.Stream = status.State.String(), status.Redis, status.Outbox, status.Stream
	s.LagSeconds = status.Lag.Round(time.Microsecond).Seconds()
	s.Losses, s.Malformed, s.LastError = status.Losses, status.Malformed, strings.Join(status.Errors, "; ")
	if status.Synced {
		s.LastAnswer = timeOrNil(now.Add(-status.Age))
	}
	return s
}
