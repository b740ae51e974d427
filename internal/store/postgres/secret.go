package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
)

// Secret implements store.Secrets. The secrets stand beside the other facts about the
// directory, in hexadecimal, under names of their own.
func (s *Store) Secret(ctx context.Context, name string) ([]byte, error) {
	fresh := make([]byte, 32)
	_, _ = rand.Read(fresh) // never fails
	var text string
	// An update that changes nothing, so that the row comes back whoever wrote it.
	err := s.gate.QueryRowContext(ctx, `INSERT INTO meta (key, value) VALUES ($1, $2)
		ON CONFLICT (key) DO UPDATE SET value = meta.value RETURNING value`, secretKey(name), hex.EncodeToString(fresh)).Scan(&text)
	if err != nil {
		return nil, fmt.Errorf("read the secret %q of the directory: %w", name, explain(err))
	}
	return hex.DecodeString(text)
}

// secretKey is the row of table meta that holds a secret.
func secretKey(name string) string { return "secret_" + name }
