package postgres

import (
	"errors"
	"fmt"

	"muster/internal/oserror"

	"github.com/jackc/pgx/v5/pgconn"
)

// explain puts the way out before those errors of PostgreSQL that an operator can do
// something about.
func explain(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		if advice := advise(refused.Code); advice != "" {
			if told := tellAll(refused.Code); told != "" {
				return &oserror.Error{Text: advice, Client: told, Err: err}
			}
			return fmt.Errorf("%s: %w", advice, err)
		}
		return err
	}
	var unreachable *pgconn.ConnectError
	if errors.As(err, &unreachable) {
		return &oserror.Error{Client: oserror.ClientDatabaseUnavailable, Err: err,
			Text: "the database cannot be reached: check that the server runs and that host and port of the URL are right"}
	}
	return err
}

// tellAll gives what a client may know of an error by its SQLSTATE.
func tellAll(code string) string {
	switch code {
	case "53100":
		return oserror.ClientDiskFull
	case "53300", "57P01", "57P02", "57P03":
		return oserror.ClientDatabaseUnavailable
	}
	return ""
}

// advise gives the way out of an error by its SQLSTATE.
func advise(code string) string {
	switch code {
	case "28P01", "28000":
		return "the user or the password is wrong, or the server does not let this user in: check the URL and the server's pg_hba.conf"
	case "3D000":
		return "the database does not exist: create it with createdb, or check the URL"
	case "42501", "25006":
		return "this user may not write to the database: use a user that owns the database, on a server that is no standby"
	case "53100":
		return "the disk of the server is full; what was committed is safe. Make room and run again"
	case "53300":
		return "the server has no connection left: raise max_connections, or stop other clients"
	case "55P03":
		return "something holds a lock for too long, such as a session of another program that was left open in a transaction: see pg_stat_activity, then run again"
	case "57P01", "57P02", "57P03":
		return "the server was stopped or is starting: wait until it runs, then run again"
	case "25P03":
		return "this program stood still inside a transaction, and the server ended it so that others could go on: run again"
	}
	return ""
}
