package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"muster/internal/audit"
)

// auditFlags are the options of the audit log.
type auditFlags struct {
	AuditLog       string        `placeholder:"FILE|off" help:"File for the audit log, with one JSON line for each request; off for none. Defaults to audit.log in the data directory, and with --database to audit-HOST-PORT.log there."`
	AuditSize      int           `type:"megabytes" default:"${audit_size}" placeholder:"SIZE" help:"Size at which the audit log is rotated; a number without a unit is in MiB (${default})."`
	AuditRetention time.Duration `default:"${audit_retention}" help:"Time for which events are kept; 0 for as long as --audit-size and --audit-backups allow (${default})."`
	AuditBackups   int           `default:"${audit_backups}" placeholder:"N" help:"Rotated audit logs to keep, compressed (${default})."`
}

// Validate checks the bounds.
func (f *auditFlags) Validate() error {
	return firstError(
		bound("--audit-size", f.AuditSize >= 1 && f.AuditSize <= 1<<20, "a number of megabytes from 1 to 1048576"),
		bound("--audit-retention", f.AuditRetention == 0 || f.AuditRetention >= time.Hour, "a duration from 1h such as 90d, or 0 for no limit by time"),
		bound("--audit-backups", f.AuditBackups >= 1, "a number of files from 1"),
	)
}

// openAudit opens the audit log. It returns nil if the log is off. The function lost is
// called for each event that cannot be written, and removedEarly with the number of rotated files
// that were removed before the retention.
func (c *serveCmd) openAudit(log *slog.Logger, lost func(), removedEarly func(int)) (*audit.File, error) {
	path := c.AuditLog
	switch path {
	case "off":
		log.Warn("no audit log is written", "option", "--audit-log off")
		return nil, nil
	case "":
		path = filepath.Join(c.Data, c.auditName())
	}
	return audit.Open(path, audit.Options{MegaBytes: c.AuditSize, Backups: c.AuditBackups, Retention: c.AuditRetention, RemovedEarly: removedEarly, Logger: log, Lost: lost})
}

// auditName returns the name of the audit log in the data directory. Servers that share
// the folder write a log each, since a log has only one writer.
func (c *serveCmd) auditName() string {
	if c.Database == "" {
		return "audit.log"
	}
	host, err := os.Hostname()
	if err != nil {
		host = "server"
	}
	_, port, _ := net.SplitHostPort(c.Listen)
	return fmt.Sprintf("audit-%s-%s.log", host, port)
}
