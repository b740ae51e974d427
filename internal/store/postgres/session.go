package postgres

import (
	"context"
	"fmt"
	"maps"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// everySession are the settings of every session. A parameter of the URL overrides them.
var everySession = map[string]string{
	"application_name": "muster",
	"timezone":         "UTC",

	// The plan of muster decides the order of joins, not the statistics of the database.
	"join_collapse_limit": "1",
	"from_collapse_limit": "1",
	"plan_cache_mode":     "force_custom_plan", // a generic plan may use an index that is wrong for the arguments
	"enable_hashjoin":     "off",
	"enable_mergejoin":    "off",
	"enable_seqscan":      "off",
	"enable_bitmapscan":   "off", // it reads a whole range of an index before it returns the first row

	// Many searches run at once, and a small one should not wait for workers to start.
	"max_parallel_workers_per_gather": "0",

	"jit": "off", // compilation takes longer than these statements

	// The server detects a lost node within seconds.
	"tcp_keepalives_idle":     "5",
	"tcp_keepalives_interval": "2",
	"tcp_keepalives_count":    "3",
	"tcp_user_timeout":        "10000",
}

// gateSessions is the maximum of sessions of a process that wait for the gate or hold a lock
// for the life of the process.
const gateSessions = 5

// jobSessions is the maximum of sessions for jobs.
const jobSessions = 8

// gateSession are the settings of the sessions that pass the gate. A process that stops in the
// middle, for example on a suspended machine, loses its session after ten seconds, which
// releases the gate. The limit must be long enough for a busy machine.
var gateSession = map[string]string{
	"idle_in_transaction_session_timeout": "10000",
	"lock_timeout":                        "30000", // for the gate
	"statement_timeout":                   "60000",
}

// gateStatement is the timeout of a statement inside the gate, in ms.
const gateStatement = "10000"

// wholeStatement is that timeout in a transaction of all changes, whose statements write 10,000
// resources instead of 2,000. A process that waits for the gate reports it after this time.
const wholeStatement = "30000"

// jobSession are the settings of the sessions for jobs. Their statements take milliseconds, of which
// planning is more than half. Their order of work follows from keys, so a plan for all arguments
// is as good, and the database keeps it after a few runs.
var jobSession = map[string]string{
	"plan_cache_mode":                     "auto",
	"idle_in_transaction_session_timeout": "10000",
	"lock_timeout":                        "10000",
	"statement_timeout":                   "30000",
}

// readSession are the settings of the sessions that read. The context of each statement has a
// shorter deadline. A snapshot is idle between its selections while the caller plans.
var readSession = map[string]string{
	"default_transaction_read_only":       "on",
	"idle_in_transaction_session_timeout": "600000",
	"statement_timeout":                   "900000",
}

// newPool returns a pool that connects to the database on demand.
func newPool(base *pgxpool.Config, maxConns int32, settings map[string]string) (*pgxpool.Pool, error) {
	config := base.Copy()
	config.MaxConns, config.MinConns = maxConns, 0
	// A restart of the server takes longer than this, so a connection that was just used
	// needs no ping.
	config.ShouldPing = func(_ context.Context, p pgxpool.ShouldPingParams) bool { return p.IdleDuration > 50*time.Millisecond }
	params := maps.Clone(everySession)
	maps.Copy(params, settings)
	maps.Copy(params, base.ConnConfig.RuntimeParams)
	config.ConnConfig.RuntimeParams = params
	return pgxpool.NewWithConfig(context.Background(), config)
}

// name returns the database for messages, without user and password.
func name(config *pgxpool.Config) string {
	c := config.ConnConfig
	return fmt.Sprintf("%s/%s", net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), c.Database)
}
