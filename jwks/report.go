package jwks

import (
	"slices"
	"time"
)

// noteGood puts a good attempt into the status. fetchedAt is when the issuer,
// or the file, was asked.
func (s *Source) noteGood(fetchedAt time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = false
	s.status.FetchedAt = fetchedAt
	s.status.NextRefresh = s.plan.next
	s.status.LastError, s.status.LastErrorKind, s.status.LastErrorAt = "", "", time.Time{}
	if s.remote != nil && s.cfg.kind() == kindDiscovery && s.remote.where.url != nil {
		s.status.KeysURL = place(s.remote.where.url)
	}
}

func (s *Source) noteFailure(now time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = true
	s.status.NextRefresh = s.plan.next
	s.status.LastError, s.status.LastErrorKind, s.status.LastErrorAt = err.Error(), ErrorKind(err), now
}

func (s *Source) fetchedAt() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status.FetchedAt
}

func (s *Source) lastError() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status.LastError
}

// reportChange logs which keys came and went.
func (s *Source) reportChange(before, after *Set) {
	if before == after {
		return
	}
	if before == nil {
		s.log.Info("keys obtained", "keys", labels(after.keys, nil))
		return
	}
	s.log.Info("keys changed", "added", labels(after.keys, before), "withdrawn", labels(before.keys, after))
}

// labels names the public keys of ks that are not in except.
func labels(ks []*Key, except *Set) []string {
	var names []string
	for _, k := range ks {
		switch {
		case k.kty == "oct" || except.Has(k):
		case k.id != "":
			names = append(names, quote(k.id))
		default:
			names = append(names, k.thumb)
		}
	}
	return names
}

// reportSkipped puts what a document has that cannot be used into the status,
// and warns when secrets appear in it.
func (s *Source) reportSkipped(doc document) {
	s.mu.Lock()
	same := slices.Equal(s.status.Skipped, doc.skipped)
	s.status.Skipped = doc.skipped
	s.mu.Unlock()
	if same {
		return
	}
	if doc.exposed > 0 {
		s.log.Warn("the key document publishes private or symmetric keys; they are compromised and not used", "skipped", doc.skipped)
		return
	}
	s.log.Debug("some keys of the document cannot be used", "skipped", doc.skipped)
}
