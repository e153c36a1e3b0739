package caddymodule

// checkRule is what is the same about all findings of one kind.
type checkRule struct {
	severity string
	why      string
}

// checkRules is the closed list of what a check finds; docs/check.md has a line
// for each. An error is something that does not work or lets forged headers
// through. A warning is legal and probably wrong. A note may be meant.
var checkRules = map[string]checkRule{
	"load_failed": {severityError, "Caddy would not start with it, and a reload would be refused."},

	// Issuers.
	"issuer_unreachable":  {severityError, "Without keys every token of this issuer is answered with 503."},
	"issuer_unusable":     {severityError, "The issuer answers, but not with keys that tokens can be verified with: they are answered with 503."},
	"issuer_mismatch":     {severityError, "Tokens are compared with `issuer` byte by byte. A discovery document of another issuer is not believed, so there are no keys."},
	"issuer_no_algorithm": {severityError, "No key of the issuer fits the algorithms that are allowed, so that no token can pass."},
	"issuer_keys_skipped": {severityNote, "A token that is signed with such a key is refused."},
	"issuer_unused":       {severityNote, "No gate lets its tokens in. Whoever reads the configuration believes that it does."},
	"issuer_insecure":     {severityWarning, "Whoever is on the way to the issuer can put in keys of their own, and with them forge any token."},
	"audience_any":        {severityWarning, "A token that the issuer gave to any other application opens this API, too."},
	"skew_long":           {severityWarning, "Expired tokens work on for as long as that. Clocks that are set by NTP are seconds apart at most."},
	"max_stale_long":      {severityWarning, "A key that the issuer withdrew in an emergency works on for as long as that while the issuer cannot be reached."},
	"sub_optional":        {severityWarning, "A token without sub belongs to nobody. A backend that takes a missing X-User-ID for a privilege is open."},
	"secret_in_config":    {severityWarning, "The configuration is shown by Caddy's admin endpoint and saved to disk by Caddy. Whoever knows the secret can do what it protects."},
	"secret_weak":         {severityError, "Everybody who has one token can try secrets against it offline, billions in a second, and with the right one forge tokens."},

	// Routes.
	"no_gate":                {severityWarning, "Nothing is protected."},
	"ungated_backend":        {severityWarning, "Nobody asks for a token here, and headers that other gates set are not cleaned: a client can send them."},
	"forgeable_headers":      {severityError, "This backend believes headers that a gate sets elsewhere. On this way any client can send them, and be whoever it likes."},
	"path_gap":               {severityWarning, "`/x/*` does not match `/x`. Most backends answer both alike."},
	"gate_unreachable":       {severityError, "What stands before it answers every request, so this gate protects nothing."},
	"managed_header_changed": {severityWarning, "Caddy applies it behind the gate: the backend gets no identity, or another one than the token's."},
	"optional_backend":       {severityWarning, "Requests without a token reach the backend. It has to tell them from the others by a header that is missing."},
	"error_route_proxies":    {severityWarning, "Refused requests reach that backend, cleaned and without an identity."},
	"basic_auth_with_gate":   {severityWarning, "One Authorization header cannot hold both a password and a token, so that every request is refused."},
	"logout_no_gate":         {severityError, "A logout acts only on whom a gate behind it verified. Without one, every request here is answered with 500."},
	"logout_public":          {severityError, "A public gate looks at no token, and behind a logout it refuses everybody: nobody can log out."},
	"revoke_open_to_all":     {severityNote, "Everybody may try secrets or tokens here, and it has no reason to be on the internet."},
	"public_prefix":          {severityNote, "A backend may read a path such as /public/..%2fadmin in another way than Caddy does."},
	"rewrite_before_gate":    {severityNote, "The matcher of the gate sees the path after the rewrite, not the one that the client sent."},

	// Gates.
	"observe_on":         {severityWarning, "The gate decides and counts, and refuses nothing."},
	"token_query":        {severityWarning, "URLs end up in browser histories, in Referer headers and in the logs of everything before this gateway."},
	"token_in_logs":      {severityWarning, "Caddy's own logs see the request before the gate does, and blank Authorization and Cookie alone."},
	"token_over_headers": {severityWarning, "Caddy answers with 431 before the gate sees such a token."},
	"max_header_large":   {severityWarning, "Many servers take 8 KiB of headers in all, and answer 400 or 431 to more."},

	// Servers.
	"client_ip_untrusted": {severityWarning, "Without trusted_proxies client_ip is whoever connects: behind a load balancer that is always the load balancer."},
	"remote_ip_proxy":     {severityWarning, "remote_ip is whoever connects: behind the proxies that trusted_proxies names, that is always one of them."},
	"aliased_headers":     {severityWarning, "Caddy lets clients send another spelling of a header that a gate sets. Gates clean it; routes without a gate do not, and many backends take both for one."},
	"credentials_logged":  {severityWarning, "Access logs then hold every token and cookie."},
	"debug_on":            {severityNote, "Caddy's DEBUG log shows the headers that go to the backend, and so what claims say about people."},
	"plain_http":          {severityNote, "Tokens cross the network as they are. Whoever sees one can use it until it expires."},
	"admin_exposed":       {severityWarning, "Caddy's admin endpoint has no authentication: whoever reaches it can replace the configuration and undo revocations."},
	"admin_off":           {severityNote, "`caddy jwtgate` status, explain, revoke and revocations work through the admin endpoint."},
	"adapter_warning":     {severityNote, "Caddy's own words about the file."},
	"journal_off":         {severityWarning, "A restart forgets every revocation, and logged-out tokens work again."},
	"journal_volatile":    {severityWarning, "What is in memory is gone with the machine, and with it every revocation."},
	"journal_network":     {severityWarning, "File locks and fsync cannot be relied on there: revocations may be lost or the file damaged."},
	"journal_container":   {severityNote, "The layer of a container goes with the container, and every revocation with it."},
	"on_damage_rename":    {severityNote, "A damaged journal is set aside, and what was revoked works again."},
	"on_stale_allow":      {severityWarning, "While Redis is out of touch, tokens pass here that were revoked at another gateway."},
	"redis_plain":         {severityWarning, "Whoever is on the way to Redis can read the password, and undo revocations."},
	"redis_no_password":   {severityWarning, "Whoever reaches Redis can undo revocations."},
}
