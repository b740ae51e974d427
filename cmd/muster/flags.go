package main

import (
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strconv"
	"time"

	"muster/internal/audit"
	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/humanize"
	"muster/internal/searchset"
	"muster/internal/server"
	"muster/internal/store"

	"github.com/alecthomas/kong"
)

// flagVars are the variables in the tags of options. The default of an option is a
// constant of the package that it configures.
func flagVars() kong.Vars {
	return kong.Vars{
		"version":         currentBuild().String(),
		"zone":            export.DefaultZone,
		"workers":         strconv.Itoa(export.DefaultWorkers),
		"part_bytes":      humanize.Bytes(export.DefaultPartBytes),
		"retention":       humanize.Duration(export.DefaultRetention),
		"keep_removals":   humanize.Duration(export.DefaultKeepRemovals),
		"wal_limit":       humanize.Bytes(export.DefaultLogLimit),
		"sweep_every":     humanize.Duration(export.DefaultSweepEvery),
		"jobs":            strconv.Itoa(export.DefaultJobsPerPrincipal),
		"lease":           humanize.Duration(export.DefaultLease),
		"page_life":       humanize.Duration(searchset.DefaultPageLife),
		"drain_delay":     humanize.Duration(defaultDrainDelay),
		"audit_size":      humanize.Bytes(audit.DefaultMegaBytes << 20),
		"audit_retention": humanize.Duration(audit.DefaultRetention),
		"audit_backups":   strconv.Itoa(audit.DefaultBackups),
		"interactions":    auditInteractions(),
		"max_body":        humanize.Bytes(server.DefaultMaxBody),
		"max_header":      humanize.Bytes(server.DefaultMaxHeader),
		"max_url":         humanize.Bytes(server.DefaultMaxURL),
		"max_parameters":  strconv.Itoa(server.DefaultMaxParameters),
		"client_quota":    humanize.Bytes(export.DefaultClientQuota),
		"quota":           humanize.Bytes(export.DefaultQuota),
		"rate":            strconv.Itoa(server.DefaultRate),
		"downloads":       strconv.Itoa(server.DefaultDownloads),
		"connections":     strconv.Itoa(server.DefaultConnections),

		"client_connections":   strconv.Itoa(server.DefaultClientConnections),
		"answer_memory":        humanize.Bytes(server.DefaultMemory),
		"client_answer_memory": humanize.Bytes(server.DefaultClientMemory),

		"membership_bytes": humanize.Bytes(export.DefaultMembershipBytes),

		"search_wait": humanize.Duration(store.DefaultSearchWait),
		"searches":    strconv.Itoa(server.DefaultSearches),
	}
}

// valueOptions are the options of the parser that concern the values of options: their defaults
// and their forms.
func valueOptions() []kong.Option {
	return []kong.Option{
		flagVars(),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), mapper(humanize.ParseDuration)),
		kong.TypeMapper(reflect.TypeFor[fhir.Instant](), mapper(fhir.ParseInstant)),
		kong.NamedMapper("size", mapper(humanize.ParseBytes)),
		kong.NamedMapper("megabytes", mapper(parseMegaBytes)),
	}
}

// mapper returns the mapper of a type of options whose value is stored as a number.
func mapper[N ~int64](parse func(string) (N, error)) kong.Mapper {
	return kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		var text string
		if err := ctx.Scan.PopValueInto("value", &text); err != nil {
			return err
		}
		n, err := parse(text)
		if err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
		if target.OverflowInt(int64(n)) {
			return fmt.Errorf("%q is too large: write a smaller number", text)
		}
		target.SetInt(int64(n))
		return nil
	})
}

// parseMegaBytes reads a size as a number of MiB, which a number without a unit is already.
func parseMegaBytes(text string) (int64, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	n, err := humanize.ParseBytes(text)
	return (n + 1<<20 - 1) >> 20, err
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

// writeDuration writes a duration with its unit, which JSON otherwise lacks.
func writeDuration(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		return slog.String(a.Key, humanize.Duration(a.Value.Duration()))
	}
	return a
}

// logger returns a logger that writes to w.
func (f *logFlags) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(f.LogLevel)) // the option accepts names of levels only
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: writeDuration}
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
