package cascadesql

import (
	"context"
	"fmt"

	"muster/internal/store"
	"muster/internal/store/writepath"
)

const (
	insertListed = `INSERT INTO cascade (row_key, level, touched, done) `
	orTouch      = ` ON CONFLICT (row_key) DO UPDATE SET touched = cascade.touched | excluded.touched`
)

// Mark implements writepath.Graph. The dependants of dependants are listed too, since slices
// change them later.
func (g *Graph) Mark(ctx context.Context, causes []writepath.Cause) error {
	levels := writepath.Cascade{Rules: g.Rules}
	for _, c := range causes {
		if len(c.Keys) > 0 {
			columns := fmt.Sprintf(`SELECT DISTINCT %s, %d, 0, 0 FROM %s WHERE true`, g.Dialect.key(), levels.Level(c.Keys[0].Type()), g.Dialect.list())
			if err := g.exec(ctx, insertListed+columns+orTouch, asJSON(c.Keys)); err != nil {
				return err
			}
			continue
		}
		touched := 0
		if c.Relation.Kind == store.IsAbout {
			touched = 1
		}
		columns := fmt.Sprintf(`DISTINCT x.row_key, %d, %d, 0`, levels.Level(c.Relation.From), touched)
		if err := g.exec(ctx, insertListed+g.referring(c.Relation, columns)+` WHERE true`+orTouch, asJSON(c.IDs)); err != nil {
			return err
		}
	}
	if err := g.markDependants(ctx, &levels); err != nil {
		return err
	}
	return g.exec(ctx, `UPDATE resource SET visibility = visibility | 4 WHERE `+g.Dialect.isListed("row_key"))
}

// markDependants lists what the listed rows use, and what is about any of them.
func (g *Graph) markDependants(ctx context.Context, levels *writepath.Cascade) error {
	for _, r := range g.Rules.Relations() {
		if r.Kind != store.Uses {
			continue
		}
		first, last := store.KeyRange(r.From)
		err := g.exec(ctx, insertListed+fmt.Sprintf(`SELECT DISTINCT e.row_key, %d, 0, 0 FROM cascade AS c`, levels.Level(r.To))+
			g.Dialect.join("ix_reference", "x", byRow, fmt.Sprintf(`x.row_key = c.row_key AND x.param = %d`, r.Param))+
			g.Dialect.join("resource", "e", byID, fmt.Sprintf(`e.type = %d AND e.id = x.id`, r.To))+` WHERE c.row_key BETWEEN ? AND ?`+orTouch,
			int64(first), int64(last))
		if err != nil {
			return err
		}
	}
	for _, r := range g.Rules.Relations() {
		if r.Kind != store.IsAbout {
			continue
		}
		first, last := store.KeyRange(r.To)
		err := g.exec(ctx, insertListed+fmt.Sprintf(`SELECT DISTINCT x.row_key, %d, 0, 0 FROM cascade AS c`, levels.Level(r.From))+
			g.Dialect.join("resource", "t", byKey, `t.row_key = c.row_key`)+
			g.Dialect.join("ix_reference", "x", byTarget, fmt.Sprintf(`x.param = %d AND x.id = t.id AND x.type = %s`, r.Param, nameOf(r.To)))+` WHERE c.row_key BETWEEN ? AND ?`+orTouch,
			int64(first), int64(last))
		if err != nil {
			return err
		}
	}
	return nil
}

// Next implements writepath.Graph.
func (g *Graph) Next(ctx context.Context, limit int) (keys []store.RowKey, touched map[store.RowKey]bool, err error) {
	touched = map[store.RowKey]bool{}
	first := int64(-1)
	err = g.each(ctx, `SELECT row_key, level, touched FROM cascade WHERE done = 0 ORDER BY level, row_key LIMIT ?`, func(scan func(...any) error) error {
		var key store.RowKey
		var level, touch int64
		if err := scan(&key, &level, &touch); err != nil {
			return err
		}
		if first < 0 {
			first = level
		}
		if level == first {
			keys, touched[key] = append(keys, key), touch != 0
		}
		return nil
	}, limit)
	return keys, touched, err
}

// Touch implements writepath.Graph.
func (g *Graph) Touch(ctx context.Context, keys []store.RowKey) error {
	return g.exec(ctx, `UPDATE cascade SET touched = 1 WHERE `+g.Dialect.isKey("row_key"), asJSON(keys))
}

// Done implements writepath.Graph.
func (g *Graph) Done(ctx context.Context, keys []store.RowKey) error {
	return g.exec(ctx, `UPDATE cascade SET done = 1 WHERE `+g.Dialect.isKey("row_key"), asJSON(keys))
}

// Finish implements writepath.Graph.
func (g *Graph) Finish(ctx context.Context) error {
	if err := g.exec(ctx, `UPDATE resource SET visibility = visibility & 3 WHERE `+g.Dialect.isListed("row_key")); err != nil {
		return err
	}
	return g.exec(ctx, `DELETE FROM cascade WHERE row_key > 0`)
}
