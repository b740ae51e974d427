package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
)

const readSecret = `SELECT value FROM meta WHERE key = ?`

// Secret implements store.Secrets. The secrets stand beside the other facts about the
// directory, in hexadecimal, under names of their own.
func (s *Store) Secret(ctx context.Context, name string) ([]byte, error) {
	secret, err := s.secret(ctx, "secret_"+name)
	if err != nil {
		return nil, fmt.Errorf("read the secret %q of the directory: %w", name, explain(s.dir, err))
	}
	return secret, nil
}

func (s *Store) secret(ctx context.Context, key string) ([]byte, error) {
	var text string
	err := s.readers.QueryRowContext(ctx, readSecret, key).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		text, err = s.drawSecret(ctx, key)
	}
	if err != nil {
		return nil, err
	}
	return hex.DecodeString(text)
}

// drawSecret writes a new secret, unless another process was faster: the one that is
// stored counts.
func (s *Store) drawSecret(ctx context.Context, key string) (text string, err error) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	leave, err := s.gate.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.writer.db.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING`, key, hex.EncodeToString(secret)); err != nil {
		return "", err
	}
	return text, s.writer.db.QueryRowContext(ctx, readSecret, key).Scan(&text)
}
