package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"muster/internal/store"
)

var _ store.WriteAheadLog = (*Store)(nil)

// LogSize implements store.WriteAheadLog.
func (s *Store) LogSize() (int64, error) {
	info, err := os.Stat(filepath.Join(s.dir, directoryFile+"-wal"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the size of the log: %w", explain(s.dir, err))
	}
	return info.Size(), nil
}

// LogFailure implements store.WriteAheadLog.
func (s *Store) LogFailure() error { return logFailure(s.dir) }

// TruncateLog implements store.WriteAheadLog. Most of the log is copied without the gate, so
// that writers wait for the rest only.
func (s *Store) TruncateLog(ctx context.Context) (bool, error) {
	if _, err := s.checkpoint(ctx, `PRAGMA wal_checkpoint(PASSIVE)`); err != nil {
		return false, err
	}
	release, err := s.acquireWriter(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	// A reader may need seconds: writers do not wait for it.
	if _, err := s.writer.db.ExecContext(ctx, `PRAGMA busy_timeout = 100`); err != nil {
		return false, fmt.Errorf("truncate the log: %w", explain(s.dir, err))
	}
	truncated, err := s.checkpoint(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	_, restored := s.writer.db.ExecContext(context.WithoutCancel(ctx), `PRAGMA busy_timeout = 5000`)
	return truncated, errors.Join(err, restored)
}

// checkpoint returns false if a transaction was in the way.
func (s *Store) checkpoint(ctx context.Context, pragma string) (bool, error) {
	var busy, pages, moved int64
	if err := s.writer.db.QueryRowContext(ctx, pragma).Scan(&busy, &pages, &moved); err != nil {
		return false, fmt.Errorf("truncate the log: %w", explain(s.dir, err))
	}
	return busy == 0, nil
}
