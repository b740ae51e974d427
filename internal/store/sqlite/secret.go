package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
)

// Secret implements store.Secrets. Table meta holds the secrets in hexadecimal, under keys
// of their own.
func (s *Store) Secret(ctx context.Context, name string) ([]byte, error) {
	secret, err := s.secret(ctx, "secret_"+name)
	if err != nil {
		return nil, fmt.Errorf("read the secret %q of the directory: %w", name, explain(s.dir, err))
	}
	return secret, nil
}

const readSecret = `SELECT value FROM meta WHERE key = ?`

func (s *Store) secret(ctx context.Context, key string) ([]byte, error) {
	var text string
	err := s.reads.QueryRowContext(ctx, readSecret, key).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		text, err = s.createSecret(ctx, key)
	}
	if err != nil {
		return nil, err
	}
	return hex.DecodeString(text)
}

// createSecret stores a new secret. If another process has stored one first, it returns
// that one.
func (s *Store) createSecret(ctx context.Context, key string) (text string, err error) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	release, err := s.acquireWriter(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	if _, err := s.writer.db.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING`, key, hex.EncodeToString(secret)); err != nil {
		return "", err
	}
	return text, s.writer.db.QueryRowContext(ctx, readSecret, key).Scan(&text)
}
