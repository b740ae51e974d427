package postgres

import (
	"context"
	"database/sql"
	"time"

	"muster/internal/failpoint"
	"muster/internal/store"
	"muster/internal/store/cascadesql"
	"muster/internal/store/writepath"

	"github.com/jackc/pgx/v5"
)

// cascade returns what writes the states that resources inherit, nil without rules.
func (tx *writeTx) cascade() *writepath.Cascade {
	if tx.s.rules == nil {
		return nil
	}
	return &writepath.Cascade{
		Rules: tx.s.rules, Write: tx.writeItems, Few: tx.s.options.FewDependants(),
		Graph: &graph{cascadesql.Graph{Conn: graphConn{tx.conn}, Dialect: cascadesql.Dialect{Postgres: true}, Rules: tx.s.rules}, tx},
	}
}

// graph implements writepath.Graph.
type graph struct {
	cascadesql.Graph
	tx *writeTx
}

// KeepOwn implements writepath.Graph.
func (g *graph) KeepOwn(ctx context.Context, items []writepath.Item) error {
	var keys, sums []int64
	var tails []string
	var gone []store.RowKey
	for i := range items {
		it := &items[i]
		if it.Inherited == 0 {
			gone = append(gone, it.Key)
			continue
		}
		keys, tails = append(keys, int64(it.Key)), append(tails, string(it.Document.Tail))
		sums = append(sums, store.SumOwn(it.Key, it.Document.Tail))
	}
	if len(keys) > 0 {
		if _, err := g.tx.conn.Exec(ctx, writeOwn, keys, tails, sums); err != nil {
			return err
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return g.DeleteOwn(ctx, gone)
}

// graphConn implements cascadesql.Conn.
type graphConn struct{ conn *pgx.Conn }

// Each implements cascadesql.Conn.
func (c graphConn) Each(ctx context.Context, query string, row func(scan func(...any) error) error, args ...any) error {
	rows, err := c.conn.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Exec implements cascadesql.Conn.
func (c graphConn) Exec(ctx context.Context, statement string, args ...any) error {
	_, err := c.conn.Exec(ctx, statement, args...)
	return err
}

// ownLine returns the line of a version without what its resource inherits. values are the tail and
// the checksum of its own document in binary format, if it has one.
func ownLine(row *store.Row, line []byte, values [][]byte) ([]byte, error) {
	sum := sql.NullInt64{Int64: decodeBigint(values[1]), Valid: values[1] != nil}
	return cascadesql.OwnLine(row, line, values[0], sum)
}

// useRules sets the rules of the writers, for the present addresses of the directory.
func (s *Store) useRules() (err error) {
	s.rules, err = s.options.RulesFor(s.info)
	return err
}

// writeSlice writes the next slice of an unfinished cascade, if there is one, and commits it by the
// function. open is false if there is none any more.
func (s *Store) writeSlice(ctx context.Context, gate *gateTx, commit func(context.Context) error) (written, open bool, err error) {
	var found bool
	if err := gate.tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM cascade WHERE row_key > 0)`).Scan(&found); err != nil || !found {
		return false, false, err
	}
	if err := s.info.CheckWriter(s.rules); err != nil {
		return false, true, err
	}
	tx, err := s.newWriteTx(ctx, gate)
	if err != nil {
		return false, true, err
	}
	finished := false
	err = gate.raw(func(conn *pgx.Conn) (err error) {
		tx.conn = conn
		finished, err = s.chunks.WriteSlices(time.Now(), func(limit int) (bool, int, error) { return tx.cascade().Slice(ctx, limit) })
		return err
	})
	if err == nil {
		err = failpoint.Inject(ctx, "directory.cascade.commit")
	}
	if err == nil {
		err = commit(ctx)
	}
	if err != nil {
		s.nameIDs = nil // some may have been rolled back
		return false, true, err
	}
	return true, !finished, failpoint.Inject(ctx, "directory.cascade.committed")
}

// acquireSettled acquires the gate while no cascade is unfinished. It writes slices until then, each
// in a transaction of its own, and keeps the gate: no writer can begin another cascade before the
// caller.
func (s *Store) acquireSettled(ctx context.Context) (*gateTx, error) {
	gate, err := s.acquireGate(ctx)
	if err != nil {
		return nil, err
	}
	for open := true; open; {
		s.mu.Lock()
		_, open, err = s.writeSlice(ctx, gate, gate.commitAndKeep)
		s.mu.Unlock()
		if err != nil {
			gate.release()
			return nil, err
		}
	}
	return gate, nil
}

// finishCascade writes what is left of a cascade. It leaves the gate after each slice.
func (s *Store) finishCascade(ctx context.Context) error {
	for open := true; open; {
		gate, err := s.acquireGate(ctx)
		if err != nil {
			return err
		}
		s.mu.Lock()
		_, open, err = s.writeSlice(ctx, gate, gate.commit)
		s.mu.Unlock()
		gate.release()
		if err != nil {
			return err
		}
	}
	return nil
}
