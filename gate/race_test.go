//go:build race

package gate

import "testing"

func skipUnderRace(t *testing.T) {
	t.Skip("the race detector allocates, and drops what is pooled, ristretto's frequencies among it")
}
