package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jwtgate/jwtgate/internal/signing"
)

// runChild is what bench does in a process of its own, on other cores than the
// proxy.
func runChild(ctx context.Context, kind string, args []string) error {
	switch {
	case kind == "backend" && len(args) == 1:
		return backend(args[0])
	case kind == "rate" && len(args) == 4:
		return constantRate(ctx, args[0], args[1], args[2], args[3])
	case kind == "flood" && len(args) == 3:
		return flood(ctx, args[0], args[1], args[2])
	}
	return fmt.Errorf("no child %q with %d arguments", kind, len(args))
}

// backend is as small and fast as net/http is.
func backend(address string) error {
	body := []byte("ok\n")
	server := &http.Server{
		Addr: address, ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{"text/plain"}
			_, _ = w.Write(body)
		}),
	}
	return server.ListenAndServe()
}

// rateConnections is how many requests of a constant rate can be under way
// before one has to wait, which its latency then includes.
const rateConnections = 64

// constantRate sends rate requests a second for so many seconds and prints the
// latencies in microseconds. A request has its time, and its latency counts from
// then on, whether or not it could be sent: a proxy that stalls is charged for
// all requests that its stall held up.
func constantRate(ctx context.Context, address, token, rate, seconds string) error {
	perSecond, err1 := strconv.Atoi(rate)
	length, err2 := strconv.Atoi(seconds)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	request := requestFor(address, token)
	due := make(chan time.Time, perSecond*length)
	var group sync.WaitGroup
	latencies := make([][]int64, rateConnections)
	failures := make([]error, rateConnections)
	for i := range rateConnections {
		c, err := dial(address)
		if err != nil {
			return err
		}
		group.Go(func() {
			defer c.close()
			for intended := range due {
				status, err := c.do(request)
				if err == nil && status != http.StatusOK {
					err = fmt.Errorf("status %d", status)
				}
				if err != nil {
					failures[i] = err
					return
				}
				latencies[i] = append(latencies[i], time.Since(intended).Microseconds())
			}
		})
	}
	runtime.LockOSThread()
	sharpen()
	start := time.Now().Add(10 * time.Millisecond)
	for i := range perSecond * length {
		intended := start.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
		if wait := time.Until(intended); wait > 0 {
			nap(int64(wait))
		}
		due <- intended
		if ctx.Err() != nil {
			break
		}
	}
	close(due)
	group.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	var all []int64
	for _, l := range latencies {
		all = append(all, l...)
	}
	return json.NewEncoder(os.Stdout).Encode(all)
}

// floodConnections drive a flood.
const floodConnections = 16

// flood sends so many requests, each with a token of its own, and prints a line
// after each tenth of them.
func flood(ctx context.Context, address, secret, count string) error {
	total, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	key, err := signing.FromSecret([]byte(secret), "HS256")
	if err != nil {
		return err
	}
	now := time.Now()
	var next, done atomic.Int64
	failures := make([]error, floodConnections)
	var group sync.WaitGroup
	for i := range floodConnections {
		c, err := dial(address)
		if err != nil {
			return err
		}
		group.Go(func() {
			defer c.close()
			for ctx.Err() == nil {
				n := int(next.Add(1)) - 1
				if n >= total {
					return
				}
				raw, err := signed(key, n, now)
				if err == nil {
					var status int
					if status, err = c.do(requestFor(address, raw)); err == nil && status != http.StatusOK {
						err = fmt.Errorf("status %d", status)
					}
				}
				if err != nil {
					failures[i] = err
					return
				}
				if d := int(done.Add(1)); d%max(total/10, 1) == 0 {
					fmt.Println(d)
				}
			}
		})
	}
	group.Wait()
	return errors.Join(append(failures, ctx.Err())...)
}
