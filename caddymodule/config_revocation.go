package caddymodule

import (
	"github.com/caddyserver/caddy/v2"
)

// Revocation configures the revocation list.
type Revocation struct {
	// Journal is the path of the list on disk, or "off". Default:
	// jwtgate/revocations.db in Caddy's data directory. Dangerous when off: a
	// restart forgets every revocation and logged-out tokens work again.
	Journal string `json:"journal,omitempty"`
	// OnDamage is refuse (default: do not start with a damaged journal) or
	// rename (set it aside and start empty, which un-revokes what it held).
	OnDamage string `json:"on_damage,omitempty"`
	// MaxTokenLifetime is the longest a token may live. When set, tokens whose
	// exp is further ahead are refused. Default: 24h for how long entries are
	// kept, and nothing is refused.
	MaxTokenLifetime *caddy.Duration `json:"max_token_lifetime,omitempty"`
	// Redis joins this gateway to the others.
	Redis *Redis `json:"redis,omitempty"`
	// OnStale says what happens to requests while Redis has been silent for
	// stale_after: deny (default) or allow. With allow, what other gateways
	// revoked meanwhile passes here.
	OnStale string `json:"on_stale,omitempty"`
	// StaleAfter is how long Redis may be silent. Default: 5m.
	StaleAfter *caddy.Duration `json:"stale_after,omitempty"`
}

// Redis configures the feed between gateways. Placeholders {env.*} and
// {file.*} are expanded when the configuration loads in URLs, user name,
// password and paths of files.
type Redis struct {
	// URLs of the servers: redis://, rediss:// or unix://. Several only with
	// sentinel or cluster.
	URLs []string `json:"urls"`
	// Username of the ACL user.
	Username string `json:"username,omitempty"`
	// Password of the ACL user; write a placeholder.
	Password string `json:"password,omitempty"`
	// Prefix of every key. Default: "jwtgate:". Gateways with different
	// prefixes do not see each other's revocations.
	Prefix string `json:"prefix,omitempty"`
	// Timeout of one command. Default: 5s.
	Timeout *caddy.Duration `json:"timeout,omitempty"`
	// TLSCA is the path of a PEM bundle that replaces the system's roots. Needs
	// rediss.
	TLSCA string `json:"tls_ca,omitempty"`
	// TLSClientCert is the path of the client certificate. Needs rediss.
	TLSClientCert string `json:"tls_client_cert,omitempty"`
	// TLSClientKey is the path of the client certificate's key.
	TLSClientKey string `json:"tls_client_key,omitempty"`
	// Sentinel is the name of the master that the servers, which are
	// sentinels, watch.
	Sentinel string `json:"sentinel,omitempty"`
	// Cluster says that the servers are nodes of a cluster.
	Cluster bool `json:"cluster,omitempty"`
	// WaitReplicas is how many replicas must acknowledge each write.
	// Default: 0.
	WaitReplicas int `json:"wait_replicas,omitempty"`
	// WaitTimeout bounds that waiting. Required with wait_replicas.
	WaitTimeout *caddy.Duration `json:"wait_timeout,omitempty"`
}
