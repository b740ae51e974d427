package main

import (
	"context"
	"strconv"

	"muster/internal/humanize"
	"muster/internal/server"
)

// logStart logs what runs, on which directory, and within which limits. The line "serving"
// follows when the server runs.
func (c *serveCmd) logStart(s *runningServer, handler *server.Server) {
	b := currentBuild()
	s.log.Info("muster", "version", b.version, "revision", b.revisionText(), "committed", b.committedText())
	directory := []any{"data", c.Data}
	if c.Database != "" {
		directory = append(directory, "database", withoutPassword(c.Database))
	}
	s.log.Info("directory", directory...)
	l := handler.Limits
	s.log.Info("limits",
		"max_body", humanize.Bytes(l.Body), "max_header", humanize.Bytes(int64(l.Header)), "max_url", humanize.Bytes(int64(l.URL)), "max_parameters", l.Parameters,
		"requests_per_second", orNone(l.Rate), "burst", orNone(l.Burst), "downloads", orNone(l.Downloads), "searches", orNone(l.Searches), "connections", l.Connections, "client_connections", orNone(l.ClientConnections), "open_files", orNone(int(min(openFiles(), 1<<40))),
		"answer_memory", humanize.Bytes(l.Memory), "client_answer_memory", humanize.Bytes(l.ClientMemory), "slow_searches", c.slowSearches(), "search_wait", c.SearchWait, "jobs", orNone(c.Jobs), "client_quota", sizeOrNone(c.ClientQuota), "quota", sizeOrNone(c.Quota),
		"workers", c.Workers, "part_bytes", humanize.Bytes(c.PartBytes), "retention", c.Retention, "poll_limit", c.PollLimit, "page_life", c.PageLife)
	if s.cert != nil {
		s.log.Info("certificate", "file", c.TLSCert, "expires", s.cert.expires())
	}
	for _, route := range handler.Routes() {
		s.log.Debug("route", "path", route.Path, "methods", route.Methods, "about", route.About)
	}
}

// orNone returns the text of a limit, of which 0 means that there is none.
func orNone[N int | float64](limit N) string {
	if limit == 0 {
		return "none"
	}
	return strconv.FormatFloat(float64(limit), 'f', -1, 64)
}

// sizeOrNone returns the text of a limit in bytes, of which 0 means that there is none.
func sizeOrNone(limit int64) string {
	if limit == 0 {
		return "none"
	}
	return humanize.Bytes(limit)
}

// logResources logs which damage would not be noticed, and the number of resources. It reads the
// row of each, which takes seconds on a large directory, so the server does not wait for it.
func (s *runningServer) logResources(ctx context.Context) {
	gaps, err := s.directory.Unprotected(ctx)
	if err != nil && ctx.Err() == nil {
		s.log.Warn("whether damage would be noticed is not known", "error", err)
	}
	for _, gap := range gaps {
		s.log.Warn("some damage of the directory would not be noticed", "what", gap.What, "to_do", gap.Remedy)
	}
	counts, err := s.directory.Counts(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.log.Warn("the resources could not be counted", "error", err)
		}
		return
	}
	var all, visible int64
	for _, c := range counts {
		all += c.All
		visible += c.Visible
	}
	s.log.Info("resources", "all", all, "visible", visible)
}
