package jobsql

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"muster/internal/auth"
	"muster/internal/damage"
	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/sqlrows"
)

var _ store.Registry = (*Jobs)(nil)

// clientDocument is the stored form of a registered client, as JSON.
type clientDocument struct {
	Name     string       `json:"name,omitempty"`
	JWKSURL  string       `json:"jwksUrl,omitempty"`
	JWKS     []byte       `json:"jwks,omitempty"`
	Scopes   []string     `json:"scopes"`
	Types    []string     `json:"types"`
	Policy   clientPolicy `json:"policy"`
	Disabled bool         `json:"disabled,omitempty"`
	Created  fhir.Instant `json:"created"`
	Changed  fhir.Instant `json:"changed"`
}

// clientPolicy is the stored form of a policy.
type clientPolicy struct {
	Rate           float64 `json:"rate,omitempty"`
	Jobs           int     `json:"jobs,omitempty"`
	Downloads      int     `json:"downloads,omitempty"`
	HideSuppressed bool    `json:"hideSuppressed,omitempty"`
	DeltasOnly     bool    `json:"deltasOnly,omitempty"`
}

// clientSeal is the checksum of a client.
func clientSeal(id string, document []byte) []byte {
	return damage.Of([]byte(id)).Add([]byte{'\n'}).Add(document).Append(nil)
}

func encodeClient(c store.RegisteredClient) ([]byte, error) {
	document := clientDocument{c.Name, c.JWKSURL, c.JWKS, c.Scopes, nil, clientPolicy(c.Policy), c.Disabled, c.Created, c.Changed}
	for _, t := range c.Types.Types() {
		document.Types = append(document.Types, t.String())
	}
	return json.Marshal(document)
}

// decodeClient returns a stored client, or a [damage.Error].
func decodeClient(id string, text, seal []byte) (store.RegisteredClient, error) {
	var d clientDocument
	err := json.Unmarshal(text, &d)
	if err != nil || !bytes.Equal(seal, clientSeal(id, text)) {
		return store.RegisteredClient{}, &damage.Error{Kind: damage.Database, Err: err,
			Text: fmt.Sprintf("the registration of client %q was changed by something else than muster: check the disk, and register the client again with 'muster client add --replace'", id)}
	}
	c := store.RegisteredClient{ID: id, Name: d.Name, JWKSURL: d.JWKSURL, JWKS: d.JWKS, Scopes: d.Scopes, Policy: auth.Policy(d.Policy), Disabled: d.Disabled, Created: d.Created, Changed: d.Changed}
	for _, name := range d.Types {
		t, ok := fhir.ParseType(name)
		if !ok {
			return store.RegisteredClient{}, fmt.Errorf("the registration of client %q names the type %q, which this program does not know: use the newer muster that wrote it", id, name)
		}
		c.Types |= fhir.TypesOf(t)
	}
	return c, nil
}

// AddClient implements [store.ClientRegistry].
func (j *Jobs) AddClient(ctx context.Context, c store.RegisteredClient) error {
	return j.changeClient(ctx, "register", c.ID, func(tx executor) error {
		document, err := encodeClient(c)
		if err != nil {
			return err
		}
		return wantRow(store.ErrClientExists)(tx.exec(ctx, `INSERT INTO registered_client (id, document, seal) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, c.ID, document, clientSeal(c.ID, document)))
	})
}

// ReplaceClient implements [store.ClientRegistry]. It also replaces a client that is damaged, which
// is then enabled and created now.
func (j *Jobs) ReplaceClient(ctx context.Context, c store.RegisteredClient) error {
	return j.changeClient(ctx, "replace", c.ID, func(tx executor) error {
		old, err := readClient(ctx, tx, c.ID, tx.dialect.WaitLocked)
		switch {
		case err == nil:
			c.Created, c.Disabled = old.Created, old.Disabled
		case !errors.As(err, new(*damage.Error)):
			return err
		}
		return writeClient(ctx, tx, c)
	})
}

// DisableClient implements [store.ClientRegistry].
func (j *Jobs) DisableClient(ctx context.Context, id string, disabled bool, now fhir.Instant) error {
	return j.changeClient(ctx, "change", id, func(tx executor) error {
		c, err := readClient(ctx, tx, id, tx.dialect.WaitLocked)
		if err != nil {
			return err
		}
		if c.Disabled != disabled {
			c.Disabled, c.Changed = disabled, now
		}
		return writeClient(ctx, tx, c)
	})
}

// RemoveClient implements [store.ClientRegistry].
func (j *Jobs) RemoveClient(ctx context.Context, id string) error {
	return j.changeClient(ctx, "remove", id, func(tx executor) error {
		return wantRow(store.ErrNoClient)(tx.exec(ctx, `DELETE FROM registered_client WHERE id = ? AND id <> ''`, id))
	})
}

// changeClient changes a client in one transaction; how is the verb for errors.
func (j *Jobs) changeClient(ctx context.Context, how, id string, f func(executor) error) error {
	if err := j.change(ctx, "", f); err != nil {
		return fmt.Errorf("%s client %q: %w", how, id, err)
	}
	return nil
}

func writeClient(ctx context.Context, tx executor, c store.RegisteredClient) error {
	document, err := encodeClient(c)
	if err != nil {
		return err
	}
	return wantRow(store.ErrNoClient)(tx.exec(ctx, `UPDATE registered_client SET document = ?, seal = ? WHERE id = ?`, document, clientSeal(c.ID, document), c.ID))
}

// wantRow returns a function that returns missing if a statement has changed no row.
func wantRow(missing error) func(sql.Result, error) error {
	return func(result sql.Result, err error) error {
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return missing
	}
}

// readClient returns a client, or [store.ErrNoClient]. lock is a locking clause of jobs, or "".
func readClient(ctx context.Context, on executor, id, lock string) (store.RegisteredClient, error) {
	var document, seal []byte
	err := on.queryRow(ctx, `SELECT j.document, j.seal FROM registered_client j WHERE j.id = ? AND j.id <> '' `+lock, id).Scan(&document, &seal)
	if errors.Is(err, sql.ErrNoRows) {
		return store.RegisteredClient{}, store.ErrNoClient
	}
	if err != nil {
		return store.RegisteredClient{}, err
	}
	return decodeClient(id, document, seal)
}

// RegisteredClient implements [store.ClientRegistry].
func (j *Jobs) RegisteredClient(ctx context.Context, id string) (store.RegisteredClient, error) {
	c, err := readClient(ctx, j.reader(), id, "")
	if err != nil {
		return c, fmt.Errorf("read client %q: %w", id, j.explain(err))
	}
	return c, nil
}

// RegisteredClients implements [store.ClientRegistry].
func (j *Jobs) RegisteredClients(ctx context.Context) (all []store.RegisteredClient, err error) {
	rows, err := j.reader().query(ctx, `SELECT id, document, seal FROM registered_client WHERE id <> '' ORDER BY id`)
	if err == nil {
		all, err = sqlrows.Collect(rows, func(rows *sql.Rows) (store.RegisteredClient, error) {
			var id string
			var document, seal []byte
			if err := rows.Scan(&id, &document, &seal); err != nil {
				return store.RegisteredClient{}, err
			}
			return decodeClient(id, document, seal)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read the registered clients: %w", j.explain(err))
	}
	return all, nil
}

// SigningKeys implements [store.SigningKeys].
func (j *Jobs) SigningKeys(ctx context.Context) (all []store.SigningKey, err error) {
	rows, err := j.reader().query(ctx, `SELECT number, id, private, created, signs_from, verifies_until FROM signing_key ORDER BY number`)
	if err == nil {
		all, err = sqlrows.Collect(rows, func(rows *sql.Rows) (k store.SigningKey, err error) {
			return k, rows.Scan(&k.Number, &k.ID, &k.Private, &k.Created, &k.From, &k.Until)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read the keys that sign access tokens: %w", j.explain(err))
	}
	return all, nil
}

// AddSigningKey implements [store.SigningKeys]. The number of a key is unique, so of two servers
// that make a key at the same time, one is first.
func (j *Jobs) AddSigningKey(ctx context.Context, k store.SigningKey, now fhir.Instant) error {
	err := j.change(ctx, "", func(tx executor) error {
		if _, err := tx.exec(ctx, `INSERT INTO signing_key (number, id, private, created, signs_from, verifies_until) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			k.Number, k.ID, k.Private, k.Created, k.From, k.Until); err != nil {
			return err
		}
		_, err := tx.exec(ctx, `DELETE FROM signing_key WHERE verifies_until < ? AND number < ?`, now, k.Number)
		return err
	})
	if err != nil {
		return fmt.Errorf("store a key that signs access tokens: %w", err)
	}
	return nil
}

// The times of used tokens, in ms. Servers whose clocks differ, and clocks that are set back a
// little, do not forget a token too early.
const (
	keepUsed  = 3_600_000    // after the end of a token
	sweepUsed = 2 * keepUsed // after the end of the oldest one
)

// UseToken implements [store.UsedTokens]. The row with the empty token has the time until which
// tokens are forgotten: without it, a clock that is set back would make them new.
func (j *Jobs) UseToken(ctx context.Context, token store.TokenHash, until, now fhir.Instant) error {
	err := j.change(ctx, "", func(tx executor) error {
		var forgotten fhir.Instant
		var sweep bool
		if err := tx.queryRow(ctx, `SELECT valid_until, EXISTS (SELECT 1 FROM used_token WHERE token <> ? AND valid_until < ?) FROM used_token WHERE token = ?`,
			[]byte{}, now-sweepUsed, []byte{}).Scan(&forgotten, &sweep); err != nil {
			return err
		}
		if until <= forgotten {
			return store.ErrTokenUsed
		}
		if sweep {
			if err := forgetUsed(ctx, tx, max(forgotten, now-keepUsed)); err != nil {
				return err
			}
		}
		return wantRow(store.ErrTokenUsed)(tx.exec(ctx, `INSERT INTO used_token (token, valid_until) VALUES (?, ?) ON CONFLICT DO NOTHING`, token[:], until))
	})
	if err != nil {
		return fmt.Errorf("note the use of a token: %w", err)
	}
	return nil
}

// forgetUsed deletes the tokens that were valid until a time or less.
func forgetUsed(ctx context.Context, tx executor, until fhir.Instant) error {
	if _, err := tx.exec(ctx, `UPDATE used_token SET valid_until = ? WHERE token = ?`, until, []byte{}); err != nil {
		return err
	}
	_, err := tx.exec(ctx, `DELETE FROM used_token WHERE token <> ? AND valid_until <= ?`, []byte{}, until)
	return err
}
