.PHONY: build demo test race lint bench microbench fuzz chaos-mobile

build:
	go build -o caddy ./cmd/caddy

demo:
	go run ./cmd/caddy jwtgate demo

test:
	go test ./...

race:
	go test -race ./...

lint:
	go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run

bench:
	go run ./bench -write docs/performance.md

microbench:
	go test -run '^$$' -bench . -benchmem -count 5 ./token ./jwks ./policy ./gate ./caddymodule

FUZZTIME ?= 1m
fuzz:
	@for p in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
	  done; \
	done

# The mobile clients against the gateway, for minutes: `go test ./...` has the short form.
chaos-mobile:
	JWTGATE_LONG=1 JWTGATE_TESTS=all go test -timeout 60m -v -run 'TestChaos|TestRefused' ./examples/mobile
