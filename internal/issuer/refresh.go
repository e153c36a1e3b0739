package issuer

import (
	"crypto/rand"
	"sync"
	"time"
)

const (
	offlineAccess  = "offline_access"
	maxFamilies    = 10_000
	defaultReplays = 30 * time.Second
)

// families holds the refresh tokens that are good. One login begins a family;
// each refresh replaces its token by the next one. A token that was replaced is
// refused and ends its family (RFC 9700 section 4.14.2), because somebody else
// may have it. The one exception is the last one replaced, for a short grace: the
// answer to it may have been lost on the way, so it gets the same successor again.
type families struct {
	grace time.Duration
	now   func() time.Time

	mu     sync.Mutex
	tokens map[string]*family // by every token that a family had
	order  []*family          // the oldest first
}

type family struct {
	request           Request
	current, previous string
	all               []string
	replaced          time.Time // when previous was
}

func newFamilies(grace time.Duration, now func() time.Time) *families {
	if grace == 0 {
		grace = defaultReplays
	}
	return &families{grace: grace, now: now, tokens: make(map[string]*family)}
}

// begin returns the first refresh token of a family.
func (f *families) begin(r Request) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.order) >= maxFamilies {
		f.endLocked(f.order[0])
	}
	fam := &family{request: r}
	f.order = append(f.order, fam)
	return f.nextLocked(fam)
}

// use takes a refresh token for the next one and what to put in the access token.
func (f *families) use(token, client string) (Request, string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fam, ok := f.tokens[token]
	if !ok || client != "" && client != fam.request.ClientID {
		return Request{}, "", false
	}
	switch {
	case token == fam.current:
		return fam.request, f.nextLocked(fam), true
	case token == fam.previous && f.now().Before(fam.replaced.Add(f.grace)):
		return fam.request, fam.current, true
	}
	f.endLocked(fam)
	return Request{}, "", false
}

// endUser ends the families of a user, of everybody if name is empty, and
// returns how many there were.
func (f *families) endUser(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ended []*family
	for _, fam := range f.order {
		if name == "" || fam.request.Username == name {
			ended = append(ended, fam)
		}
	}
	for _, fam := range ended {
		f.endLocked(fam)
	}
	return len(ended)
}

func (f *families) nextLocked(fam *family) string {
	// What was replaced long ago is forgotten: an unknown token is refused as well.
	const remembered = 64
	if len(fam.all) >= remembered {
		delete(f.tokens, fam.all[0])
		fam.all = fam.all[1:]
	}
	fam.previous, fam.current, fam.replaced = fam.current, rand.Text(), f.now()
	fam.all = append(fam.all, fam.current)
	f.tokens[fam.current] = fam
	return fam.current
}

func (f *families) endLocked(fam *family) {
	for _, token := range fam.all {
		delete(f.tokens, token)
	}
	for n, other := range f.order {
		if other == fam {
			f.order = append(f.order[:n], f.order[n+1:]...)
			return
		}
	}
}
