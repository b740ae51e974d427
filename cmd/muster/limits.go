package main

import (
	"cmp"
	"fmt"
	"time"

	"muster/internal/server"
	"muster/internal/store"
)

// limitsFlags are the options of `muster serve` that limit requests and clients.
type limitsFlags struct {
	MaxBody            int64         `type:"size" default:"${max_body}" placeholder:"SIZE" help:"Maximum size of a request body (${default})."`
	MaxHeader          int           `type:"size" default:"${max_header}" placeholder:"SIZE" help:"Maximum size of all request header fields (${default})."`
	MaxURL             int           `name:"max-url" type:"size" default:"${max_url}" placeholder:"SIZE" help:"Maximum length of a request URL (${default})."`
	MaxParameters      int           `default:"${max_parameters}" placeholder:"N" help:"Maximum number of parameters in a request URL (${default})."`
	Rate               *float64      `placeholder:"N" help:"Requests that one client may make per second; 0 for no limit. Defaults to ${rate}, and to no limit if only this machine can reach the server, directly or by a proxy."`
	Burst              int           `default:"0" placeholder:"N" help:"Requests that one client may make at once; 0 for twice the rate (${default})."`
	Downloads          int           `default:"${downloads}" placeholder:"N" help:"Files that one client may download at a time; 0 for no limit (${default})."`
	ClientQuota        int64         `type:"size" default:"${client_quota}" placeholder:"SIZE" help:"Size on disk of the files of all exports of one client, until they expire; 0 for no limit (${default})."`
	Quota              int64         `type:"size" default:"${quota}" placeholder:"SIZE" help:"Size on disk of the files of all exports, until they expire; 0 for no limit (${default})."`
	MembershipBytes    int64         `type:"size" default:"${membership_bytes}" placeholder:"SIZE" help:"Size of what is kept of exports with the preference track-membership, so that the next export can say what has left their filters. A client may take a quarter of it; what was used least recently is forgotten. 0 ignores the preference (${default})."`
	SlowSearches       int           `default:"0" placeholder:"N" help:"Searches of all clients that run at a time after they have run for 0.1 s; further ones wait. 0 for one for each core except one (${default})."`
	Connections        int           `default:"0" placeholder:"N" help:"Open connections of all clients, and files that all of them download at a time; 0 for ${connections}, or fewer if the limit of open files of the process is low (${default})."`
	ClientConnections  int           `default:"${client_connections}" placeholder:"N" help:"Open connections of one client; 0 for no limit (${default})."`
	AnswerMemory       int64         `type:"size" default:"${answer_memory}" placeholder:"SIZE" help:"Memory of the requests and answers of all clients under way (${default})."`
	ClientAnswerMemory int64         `type:"size" default:"${client_answer_memory}" placeholder:"SIZE" help:"Memory of the requests and answers of one client under way; 0 for no limit (${default})."`
	SearchWait         time.Duration `default:"${search_wait}" help:"Time that a search or a read waits for its turn at most (${default})."`
	Searches           int           `default:"${searches}" placeholder:"N" help:"Searches of one client that run at a time; further ones wait. 0 for no limit (${default})."`
	WALLimit           int64         `name:"wal-limit" type:"size" default:"${wal_limit}" placeholder:"SIZE" help:"Size of the write-ahead log of SQLite beyond which the oldest selection of an export is interrupted and begun again later; 0 for no limit (${default})."`
}

// Validate checks the bounds.
func (f *limitsFlags) Validate() error {
	return firstError(
		bound("--wal-limit", f.WALLimit >= 0, "a size such as 1GiB, or 0 for no limit"),
		bound("--max-body", f.MaxBody >= 1, "a number of bytes from 1"),
		bound("--max-header", f.MaxHeader >= 1024 && f.MaxHeader <= 1<<30, "a number of bytes from 1024 to 1073741824"),
		bound("--max-url", f.MaxURL >= 256 && f.MaxURL <= 1<<30, "a number of bytes from 256 to 1073741824"),
		bound("--max-parameters", f.MaxParameters >= 1, "a number from 1"),
		bound("--rate", f.Rate == nil || *f.Rate >= 0 && *f.Rate <= 1e6, "a number of requests per second up to 1000000, or 0 for no limit"),
		bound("--burst", f.Burst >= 0, "a number of requests from 1, or 0 for twice the rate"),
		bound("--client-quota", f.ClientQuota >= 0, "a size such as 4GiB, or 0 for no limit"),
		bound("--quota", f.Quota >= 0, "a size such as 64GiB, or 0 for no limit"),
		bound("--membership-bytes", f.MembershipBytes == 0 || f.MembershipBytes >= 1<<20, "a size from 1 MiB, or 0 to keep nothing"),
		bound("--downloads", f.Downloads >= 0, "a number from 1, or 0 for no limit"),
		bound("--slow-searches", f.SlowSearches >= 0 && f.SlowSearches <= 1000, "a number up to 1000, or 0 for one for each core"),
		bound("--search-wait", f.SearchWait > 0, "a duration such as 5s"),
		bound("--connections", f.Connections >= 0, "a number from 1, or 0 for the default"),
		bound("--client-connections", f.ClientConnections >= 0, "a number from 1, or 0 for no limit"),
		bound("--answer-memory", f.AnswerMemory >= 1<<20, "a size from 1 MiB"),
		bound("--client-answer-memory", f.ClientAnswerMemory == 0 || f.ClientAnswerMemory >= 1<<20, "a size from 1 MiB, or 0 for no limit"),
		bound("--searches", f.Searches >= 0, "a number from 1, or 0 for no limit"),
	)
}

// slowSearches returns how many slow searches run at a time.
func (f *limitsFlags) slowSearches() int {
	return store.Options{SlowSearches: f.SlowSearches}.WithDefaults().SlowSearches
}

// connections returns how many connections the server accepts. Each may need two of the files that
// the process may open: one for itself, one for a download. limit is the number of these files, 0
// if it is not known.
func (f *limitsFlags) connections(limit uint64, workers int) (int, error) {
	room := 1 << 20
	if limit > 0 {
		// The rest is for databases, locks, logs and the files that workers write.
		reserve := min(limit/2, 128+8*uint64(workers))
		room = int(min((limit-reserve)/2, uint64(room)))
	}
	if f.Connections > room {
		return 0, fmt.Errorf("--connections %d: the process may open %d files, which is enough for %d connections: raise the limit (ulimit -n, LimitNOFILE of systemd), or lower --connections", f.Connections, limit, room)
	}
	return cmp.Or(f.Connections, min(room, server.DefaultConnections)), nil
}

// limits returns the limits of a server. Its rate is unlimited by default if only this
// machine can connect to it.
func (f *limitsFlags) limits(local bool) server.Limits {
	l := server.Limits{
		Body: f.MaxBody, Header: f.MaxHeader, URL: f.MaxURL, Parameters: f.MaxParameters,
		Burst: f.Burst, Downloads: f.Downloads, Searches: f.Searches,
		ClientConnections: f.ClientConnections, Memory: f.AnswerMemory, ClientMemory: f.ClientAnswerMemory,
	}
	switch {
	case f.Rate != nil:
		l.Rate = *f.Rate
	case !local:
		l.Rate = server.DefaultRate
	}
	return l
}
