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

// Settings of every session. A parameter of the same name in the URL goes before.
var everySession = map[string]string{
	"application_name": "muster",
	"timezone":         "UTC",

	// The plan decides the order of work, never the statistics of the database.
	"join_collapse_limit": "1",
	"from_collapse_limit": "1",
	"plan_cache_mode":     "force_custom_plan", // a plan for any arguments takes the index that is wrong for ours
	"enable_hashjoin":     "off",
	"enable_mergejoin":    "off",
	"enable_seqscan":      "off",
	"enable_bitmapscan":   "off", // it reads a whole run of an index before its first row

	// A search is one of many; who asks for little should not wait for helpers to start.
	"max_parallel_workers_per_gather": "0",

	"jit": "off", // compiling costs more than our statements do

	// A node that is gone without a word is noticed within seconds.
	"tcp_keepalives_idle":     "5",
	"tcp_keepalives_interval": "2",
	"tcp_keepalives_count":    "3",
	"tcp_user_timeout":        "10000",
}

// gateSessions is how many sessions of a process wait at the gate at most, or hold
// a lock for as long as the process lives.
const gateSessions = 5

// Settings of the sessions that pass the gate. Who stops in the middle, as a
// machine does that is suspended, loses its session after ten seconds, and with it the
// gate. A machine that is merely busy must not.
var gateSession = map[string]string{
	"idle_in_transaction_session_timeout": "10000",
	"lock_timeout":                        "30000", // for one's turn
	"statement_timeout":                   "60000",
}

// gateStatement is how long one statement inside the gate may take, in ms.
const gateStatement = "10000"

// Settings of the sessions that work on jobs: their statements take milliseconds.
var jobSession = map[string]string{
	"idle_in_transaction_session_timeout": "10000",
	"lock_timeout":                        "10000",
	"statement_timeout":                   "30000",
}

// Settings of the sessions that read. The deadline of each statement is that of its
// context; a snapshot is idle between its selections while the caller plans.
var readSession = map[string]string{
	"default_transaction_read_only":       "on",
	"idle_in_transaction_session_timeout": "600000",
	"statement_timeout":                   "900000",
}

// newPool makes connections to the database as they are needed.
func newPool(base *pgxpool.Config, most int32, settings map[string]string) (*pgxpool.Pool, error) {
	config := base.Copy()
	config.MaxConns, config.MinConns = most, 0
	// A restart of the server takes longer than this; a busy connection is not asked.
	config.ShouldPing = func(_ context.Context, p pgxpool.ShouldPingParams) bool { return p.IdleDuration > 50*time.Millisecond }
	params := maps.Clone(everySession)
	maps.Copy(params, settings)
	maps.Copy(params, base.ConnConfig.RuntimeParams)
	config.ConnConfig.RuntimeParams = params
	return pgxpool.NewWithConfig(context.Background(), config)
}

// name is the database as messages name it, without user and password.
func name(config *pgxpool.Config) string {
	c := config.ConnConfig
	return fmt.Sprintf("%s/%s", net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), c.Database)
}
