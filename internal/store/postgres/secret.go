package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
)

// Secret implements store.Secrets. Table meta holds the secrets in hexadecimal, under keys
// of their own.
func (s *Store) Secret(ctx context.Context, name string) ([]byte, error) {
	text, err := metaValue(ctx, s.reads, secretKey(name))
	if err == nil && text == "" {
		text, err = s.createSecret(ctx, name)
	}
	if err != nil {
		return nil, fmt.Errorf("read the secret %q of the directory: %w", name, explain(err))
	}
	return hex.DecodeString(text)
}

// createSecret stores a new secret. If another process has stored one first, it returns
// that one.
func (s *Store) createSecret(ctx context.Context, name string) (text string, err error) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	// The update changes nothing: it makes RETURNING return a row that exists already.
	err = s.gate.QueryRowContext(ctx, `INSERT INTO meta (key, value) VALUES ($1, $2)
		ON CONFLICT (key) DO UPDATE SET value = meta.value RETURNING value`, secretKey(name), hex.EncodeToString(secret)).Scan(&text)
	return text, err
}

// secretKey returns the key of a secret in table meta.
func secretKey(name string) string { return "secret_" + name }
