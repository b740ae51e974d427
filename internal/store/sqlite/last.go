package sqlite

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"muster/internal/fhir"
	"muster/internal/store"
)

var _ store.LastTimes = (*Store)(nil)

// SetLast implements store.LastTimes.
func (s *Store) SetLast(ctx context.Context, work store.Work, at fhir.Instant) error {
	release, err := s.acquireWriter(ctx)
	if err != nil {
		return err
	}
	defer release()
	if _, err := s.writer.db.ExecContext(ctx, setMeta, work.Key(), strconv.FormatInt(int64(at), 10)); err != nil {
		return fmt.Errorf("record the time of the last %s: %w", work, explain(s.dir, err))
	}
	return nil
}

// Last implements store.LastTimes.
func (s *Store) Last(ctx context.Context, work store.Work) (fhir.Instant, error) {
	text, err := metaValue(ctx, s.reads, work.Key())
	if err != nil {
		return 0, fmt.Errorf("read the time of the last %s: %w", work, explain(s.dir, err))
	}
	at, err := strconv.ParseInt(cmp.Or(text, "0"), 10, 64)
	return fhir.Instant(at), err
}
