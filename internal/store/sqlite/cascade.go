package sqlite

import (
	"context"
	"database/sql"
	"time"

	"muster/internal/failpoint"
	"muster/internal/store"
	"muster/internal/store/cascadesql"
	"muster/internal/store/sqlrows"
	"muster/internal/store/writepath"
)

// cascade returns what writes the states that resources inherit, nil without rules.
func (tx *writeTx) cascade() *writepath.Cascade {
	if tx.w.rules == nil {
		return nil
	}
	return &writepath.Cascade{Rules: tx.w.rules, Graph: &graph{cascadesql.Graph{Conn: graphConn{tx.tx}, Rules: tx.w.rules}, tx}, Write: tx.writeItems, Few: tx.w.few}
}

// graph implements writepath.Graph.
type graph struct {
	cascadesql.Graph
	tx *writeTx
}

// KeepOwn implements writepath.Graph.
func (g *graph) KeepOwn(ctx context.Context, items []writepath.Item) error {
	in := g.tx.newInserter(g.tx.w.stmts.ownForm)
	var gone []store.RowKey
	for i := range items {
		it := &items[i]
		if it.Inherited == 0 {
			gone = append(gone, it.Key)
			continue
		}
		if err := in.add(ctx, int64(it.Key), it.Document.Tail, store.SumOwn(it.Key, it.Document.Tail)); err != nil {
			return err
		}
	}
	if err := in.flush(ctx); err != nil || len(gone) == 0 {
		return err
	}
	return g.DeleteOwn(ctx, gone)
}

// graphConn implements cascadesql.Conn.
type graphConn struct{ tx *sql.Tx }

// Each implements cascadesql.Conn.
func (c graphConn) Each(ctx context.Context, query string, row func(scan func(...any) error) error, args ...any) error {
	return sqlrows.Query(ctx, c.tx, func(rows *sql.Rows) error { return row(rows.Scan) }, query, args...)
}

// Exec implements cascadesql.Conn.
func (c graphConn) Exec(ctx context.Context, statement string, args ...any) error {
	_, err := c.tx.ExecContext(ctx, statement, args...)
	return err
}

// useRules sets the rules of the writers, for the present addresses of the directory.
func (s *Store) useRules() (err error) {
	s.writer.few = s.options.FewDependants()
	s.writer.rules, err = s.options.RulesFor(s.info)
	return err
}

// writeSlice writes the next slice of an unfinished cascade, if there is one, and commits it. The
// caller holds the gate and the writer. open is false if there is none any more.
func (s *Store) writeSlice(ctx context.Context) (open bool, err error) {
	if open, err := s.cascadeOpen(ctx); err != nil || !open {
		return false, err
	}
	if err := s.info.CheckWriter(s.writer.rules); err != nil {
		return true, err
	}
	sqlTx, err := s.writer.db.BeginTx(ctx, nil)
	if err != nil {
		return true, err
	}
	defer func() { _ = sqlTx.Rollback() }()
	tx, err := s.writer.newWriteTx(ctx, sqlTx)
	if err != nil {
		return true, err
	}
	finished, err := s.writer.chunks.WriteSlices(time.Now(), func(limit int) (bool, int, error) { return tx.cascade().Slice(ctx, limit) })
	if err == nil {
		err = failpoint.Inject(ctx, "directory.cascade.commit")
	}
	if err == nil {
		err = sqlTx.Commit()
	}
	if err != nil {
		s.writer.nameIDs = nil // some may have been rolled back
		return true, err
	}
	return !finished, failpoint.Inject(ctx, "directory.cascade.committed")
}

// cascadeOpen reports whether a cascade is not finished.
func (s *Store) cascadeOpen(ctx context.Context) (open bool, err error) {
	err = s.writer.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM cascade WHERE row_key > 0)`).Scan(&open)
	return open, err
}

// finishCascade writes what is left of a cascade. It leaves the gate after each slice.
func (s *Store) finishCascade(ctx context.Context) error {
	for open := true; open; {
		release, err := s.acquireWriter(ctx)
		if err != nil {
			return err
		}
		open, err = s.writeSlice(ctx)
		release()
		if err != nil {
			return err
		}
	}
	return nil
}
