package postgres

import (
	"errors"
	"fmt"
	"strings"

	"muster/internal/damage"
	"muster/internal/oserror"

	"github.com/jackc/pgx/v5/pgconn"
)

// explain adds to an error of PostgreSQL what an operator can do about it.
func explain(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		if strings.HasPrefix(refused.Code, "XX00") && refused.Code != "XX000" {
			return &damage.Error{Kind: damage.Database, Err: err,
				Text: "the database is damaged: check the disk of the server, and restore a backup; muster check --deep says what is damaged, and REINDEX repairs an index"}
		}
		if advice := advise(refused.Code); advice != "" {
			if told := clientText(refused.Code); told != "" {
				return &oserror.Error{Text: advice, Client: told, Err: err}
			}
			return fmt.Errorf("%s: %w", advice, err)
		}
		return err
	}
	if oserror.IsOutOfFiles(err) {
		return oserror.Wrap("", err)
	}
	var unreachable *pgconn.ConnectError
	if errors.As(err, &unreachable) {
		return &oserror.Error{Client: oserror.ClientDatabaseUnavailable, Err: err,
			Text: "the database cannot be reached: check that the server runs and that host and port of the URL are right"}
	}
	return err
}

// clientText returns the text for clients of an error with a SQLSTATE, empty if there is none.
func clientText(code string) string {
	switch code {
	case "53100":
		return oserror.ClientDiskFull
	case "53300", "57P01", "57P02", "57P03":
		return oserror.ClientDatabaseUnavailable
	}
	return ""
}

// advise returns what an operator can do about an error with a SQLSTATE.
func advise(code string) string {
	switch code {
	case "28P01", "28000":
		return "the user or the password is wrong, or the server does not let this user in: check the URL, in which special characters of the password must be percent-encoded, and the server's pg_hba.conf"
	case "3D000":
		return "the database does not exist: create it with createdb, or check the URL"
	case "42501", "25006":
		return "this user may not write to the database: use a user that owns the database, on a server that is not a standby"
	case "53100":
		return "the disk of the server is full; committed data are safe. Free some space and run the command again"
	case "53300":
		return "the server has no connection left: raise max_connections, or stop other clients"
	case "55P03":
		return "another session holds a lock for too long, such as one with an open transaction of another program: see pg_stat_activity, then run the command again"
	case "57P01", "57P02", "57P03":
		return "the server was stopped or is starting: wait until it runs, then run the command again"
	case "25P03":
		return "this program was suspended inside a transaction, and the server ended its session so that others could continue: run the command again"
	}
	return ""
}
