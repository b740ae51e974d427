package main

import (
	"time"

	"muster/internal/server"
	"muster/internal/store"
)

// limitsFlags are the options of `muster serve` that limit requests and clients.
type limitsFlags struct {
	MaxBody       int64         `type:"size" default:"${max_body}" placeholder:"SIZE" help:"Maximum size of a request body (${default})."`
	MaxHeader     int           `type:"size" default:"${max_header}" placeholder:"SIZE" help:"Maximum size of all request header fields (${default})."`
	MaxURL        int           `name:"max-url" type:"size" default:"${max_url}" placeholder:"SIZE" help:"Maximum length of a request URL (${default})."`
	MaxParameters int           `default:"${max_parameters}" placeholder:"N" help:"Maximum number of parameters in a request URL (${default})."`
	Rate          *float64      `placeholder:"N" help:"Requests that one client may make per second; 0 for no limit. Defaults to ${rate}, and to no limit if only this machine can reach the server, directly or by a proxy."`
	Burst         int           `default:"0" placeholder:"N" help:"Requests that one client may make at once; 0 for twice the rate (${default})."`
	Downloads     int           `default:"${downloads}" placeholder:"N" help:"Files that one client may download at a time; 0 for no limit (${default})."`
	SlowSearches  int           `default:"0" placeholder:"N" help:"Searches of all clients that run at a time after they have run for 0.1 s; further ones wait. 0 for one for each core (${default})."`
	SearchWait    time.Duration `default:"${search_wait}" help:"Time that a search or a read waits for its turn at most (${default})."`
	Searches      int           `default:"${searches}" placeholder:"N" help:"Searches of one client that run at a time; further ones wait. 0 for no limit (${default})."`
}

// Validate checks the bounds.
func (f *limitsFlags) Validate() error {
	return firstError(
		bound("--max-body", f.MaxBody >= 1, "a number of bytes from 1"),
		bound("--max-header", f.MaxHeader >= 1024 && f.MaxHeader <= 1<<30, "a number of bytes from 1024 to 1073741824"),
		bound("--max-url", f.MaxURL >= 256 && f.MaxURL <= 1<<30, "a number of bytes from 256 to 1073741824"),
		bound("--max-parameters", f.MaxParameters >= 1, "a number from 1"),
		bound("--rate", f.Rate == nil || *f.Rate == -1 || *f.Rate >= 0 && *f.Rate <= 1e6, "a number of requests per second up to 1000000, or 0 for no limit"),
		bound("--burst", f.Burst >= 0, "a number of requests from 1, or 0 for twice the rate"),
		bound("--downloads", f.Downloads >= 0, "a number from 1, or 0 for no limit"),
		bound("--slow-searches", f.SlowSearches >= 0 && f.SlowSearches <= 1000, "a number up to 1000, or 0 for one for each core"),
		bound("--search-wait", f.SearchWait > 0, "a duration such as 5s"),
		bound("--searches", f.Searches >= 0, "a number from 1, or 0 for no limit"),
	)
}

// slowSearches returns how many slow searches run at a time.
func (f *limitsFlags) slowSearches() int {
	return store.Options{SlowSearches: f.SlowSearches}.WithDefaults().SlowSearches
}

// limits returns the limits of a server. Its rate is unlimited by default if it is local: only
// this machine can reach it, directly or through a proxy.
func (f *limitsFlags) limits(local bool) server.Limits {
	l := server.Limits{
		Body: f.MaxBody, Header: f.MaxHeader, URL: f.MaxURL, Parameters: f.MaxParameters,
		Burst: f.Burst, Downloads: f.Downloads, Searches: f.Searches,
	}
	switch {
	case f.Rate != nil && *f.Rate >= 0: // -1, an earlier default, selects the default
		l.Rate = *f.Rate
	case !local:
		l.Rate = server.DefaultRate
	}
	return l
}
