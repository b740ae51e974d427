package main

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"muster/internal/audit"
	"muster/internal/export"
	"muster/internal/searchset"
	"muster/internal/server"

	"github.com/alecthomas/kong"
)

// flagVars are the variables in the tags of options. The default of an option is a
// constant of the package that it configures.
func flagVars() kong.Vars {
	return kong.Vars{
		"version":        currentBuild().String(),
		"zone":           export.DefaultZone,
		"workers":        strconv.Itoa(export.DefaultWorkers),
		"part_bytes":     strconv.Itoa(export.DefaultPartBytes),
		"retention":      shortDuration(export.DefaultRetention),
		"sweep_every":    shortDuration(export.DefaultSweepEvery),
		"jobs":           strconv.Itoa(export.DefaultJobsPerPrincipal),
		"lease":          shortDuration(export.DefaultLease),
		"page_life":      shortDuration(searchset.DefaultPageLife),
		"drain_delay":    shortDuration(defaultDrainDelay),
		"audit_size":     strconv.Itoa(audit.DefaultMegaBytes),
		"audit_backups":  strconv.Itoa(audit.DefaultBackups),
		"max_body":       strconv.Itoa(server.DefaultMaxBody),
		"max_header":     strconv.Itoa(server.DefaultMaxHeader),
		"max_url":        strconv.Itoa(server.DefaultMaxURL),
		"max_parameters": strconv.Itoa(server.DefaultMaxParameters),
		"rate":           strconv.Itoa(server.DefaultRate),
		"downloads":      strconv.Itoa(server.DefaultDownloads),
		"searches":       strconv.Itoa(server.DefaultSearches),
	}
}

// shortDuration formats a duration without units that are zero: 24h, not 24h0m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// bound returns an error if the value of an option is out of bounds; want describes the
// values that are valid.
func bound(option string, valid bool, want string) error {
	if valid {
		return nil
	}
	return fmt.Errorf("%s: write %s", option, want)
}

// firstError returns the first error that is not nil.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// timeZone is an option that names a time zone.
type timeZone struct{ *time.Location }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (z *timeZone) UnmarshalText(text []byte) (err error) {
	if z.Location, err = time.LoadLocation(string(text)); err != nil {
		return fmt.Errorf("%s: no such time zone: write a name such as Australia/Sydney", text)
	}
	return nil
}

// logFlags are the options of the log on standard error.
type logFlags struct {
	LogFormat string `default:"text" enum:"text,json" help:"Format of the log on standard error: text or json (${default})."`
	LogLevel  string `default:"info" enum:"debug,info,warn,error" help:"Lowest level to log: debug, info, warn or error (${default})."`
}

// logger returns a logger that writes to w.
func (f *logFlags) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(f.LogLevel)) // the option accepts names of levels only
	options := &slog.HandlerOptions{Level: level}
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
