//go:build linux

package revocation

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The tests of this file start the test binary once more as a program of its
// own; these variables tell it what to be.
const (
	childEnv = "JWTGATE_TEST_CHILD"
	pathEnv  = "JWTGATE_TEST_PATH"
	roundEnv = "JWTGATE_TEST_ROUND"
	syncEnv  = "JWTGATE_TEST_NOSYNC"
)

func TestMain(m *testing.M) {
	children := map[string]func() error{"churn": churn, "few": few, "full": full}
	if child := children[os.Getenv(childEnv)]; child != nil {
		if err := child(); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(ctx context.Context, what, path string, env ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, os.Args[0], "-test.run=^$")
	c.Env = append(os.Environ(), append(env, childEnv+"="+what, pathEnv+"="+path)...)
	c.Stderr = os.Stderr
	return c
}

// churned is an entry of the churning child.
func churned(value string) Entry {
	return Entry{Kind: Session, Issuer: testIssuer, Value: value, Until: time.Now().Add(3 * time.Hour), Via: "test"}
}

// churn revokes and undoes without end, and prints what is acknowledged.
func churn() error {
	s, err := Open(Options{Path: os.Getenv(pathEnv)})
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := s.Wait(ctx); err != nil {
		return err
	}
	s.EnableOutbox(true)
	// What the pipe has was said; an undoing is announced before it begins.
	say := func(what, value string) { os.Stdout.WriteString(what + " " + value + "\n") }
	for g := range 8 {
		go func() {
			for i := 0; ; i++ {
				e := churned(fmt.Sprintf("%s-%d-%d", os.Getenv(roundEnv), g, i))
				if i%50 == 49 {
					// In bulk, without the log.
					bulk := []Entry{e, e, e}
					for k := range bulk {
						bulk[k].Value += fmt.Sprint("-", k)
						bulk[k].RevokedAt = time.Now()
					}
					if _, err := s.Apply(ctx, bulk); err != nil {
						say("error", err.Error())
						return
					}
					for k := range bulk {
						say("revoked", bulk[k].Value)
					}
					continue
				}
				if _, err := s.Revoke(ctx, e); err != nil {
					say("error", err.Error())
					return
				}
				say("revoked", e.Value)
				if i%3 != 0 {
					continue
				}
				say("undoing", e.Value)
				if _, err := s.Undo(ctx, e.Digest(), "test", "", ""); err != nil {
					say("error", err.Error())
					return
				}
				say("undone", e.Value)
			}
		}()
	}
	if os.Getenv(roundEnv) != "0" {
		go func() {
			for {
				time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
				s.checkpoint(false)
			}
		}()
	}
	select {}
}

// TestTrapRevocationsForgottenByACrash kills a program that revokes and undoes,
// again and again, and holds it to every word that it said.
func TestTrapRevocationsForgottenByACrash(t *testing.T) {
	rounds := 20
	if os.Getenv("JWTGATE_LONG") != "" {
		rounds = 250
	} else if testing.Short() {
		rounds = 3
	}
	path := tempPath(t)
	state := map[string]string{}
	acknowledged := 0
	for round := range rounds {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		c := child(ctx, "churn", path, fmt.Sprint(roundEnv, "=", round))
		pipe, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		// Killed after a number of answers, then at some moment.
		lines, after := bufio.NewScanner(pipe), 1+rand.IntN(4000)
		for lines.Scan() {
			what, value, _ := strings.Cut(lines.Text(), " ")
			if what == "error" {
				t.Fatal(value)
			}
			state[value] = what
			acknowledged++
			if after--; after == 0 {
				go func() {
					time.Sleep(time.Duration(rand.IntN(5000)) * time.Microsecond)
					c.Process.Kill()
				}()
			}
		}
		c.Wait()
		cancel()
		s, err := Open(Options{Path: path, idle: true})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := s.Wait(t.Context()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for value, what := range state {
			e := churned(value)
			switch got := inForce(t, s, &e); {
			case what == "revoked" && !got:
				t.Fatalf("round %d: %s was revoked and is forgotten", round, value)
			case what == "undone" && got:
				t.Fatalf("round %d: %s was undone and is in force", round, value)
			}
		}
		// Half of the time the journal is closed, else left as it is.
		if round%2 == 0 {
			err = s.Close()
		} else {
			s.crash()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d acknowledgements held", rounds, acknowledged)
}
