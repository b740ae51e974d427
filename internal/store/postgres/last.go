package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/jackc/pgx/v5"
)

var _ store.LastTimes = (*Store)(nil)

// SetLast implements store.LastTimes.
func (s *Store) SetLast(ctx context.Context, work store.Work, at fhir.Instant) error {
	_, err := s.gate.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
		work.Key(), strconv.FormatInt(int64(at), 10))
	if err != nil {
		return fmt.Errorf("record the time of the last %s: %w", work, explain(err))
	}
	return nil
}

// Last implements store.LastTimes.
func (s *Store) Last(ctx context.Context, work store.Work) (fhir.Instant, error) {
	var text string
	err := s.readers.QueryRow(ctx, `SELECT value FROM meta WHERE key = $1`, work.Key()).Scan(&text)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the time of the last %s: %w", work, explain(err))
	}
	at, err := strconv.ParseInt(text, 10, 64)
	return fhir.Instant(at), err
}
