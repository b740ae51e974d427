package writepath

import (
	"context"
	"slices"

	"muster/internal/failpoint"
	"muster/internal/store"
)

// Slice writes the next resources of an unfinished cascade, at most limit. It reports whether that
// was the last one: nothing is pending any more.
func (c *Cascade) Slice(ctx context.Context, limit int) (finished bool, written int, err error) {
	if err := failpoint.Inject(ctx, "directory.cascade.slice"); err != nil {
		return false, 0, err
	}
	c.prepare()
	keys, touched, err := c.Graph.Next(ctx, limit)
	if err != nil {
		return false, 0, err
	}
	if len(keys) == 0 {
		return true, 0, c.Graph.Finish(ctx)
	}
	if err := c.Rewrite(ctx, keys, touched, true); err != nil {
		return false, 0, err
	}
	return false, len(keys), c.Graph.Done(ctx, keys)
}

// Rewrite writes those of the rows, which are of one level, that do not show what they inherit.
// Those that are about a touched resource get a new version. What is about the rows is touched if
// they stay pending, and otherwise gets a new version with them.
func (c *Cascade) Rewrite(ctx context.Context, keys []store.RowKey, touched map[store.RowKey]bool, pending bool) error {
	all, err := c.Graph.Load(ctx, keys)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(it Item) bool { return c.Level(it.Type) == aboutLevel && !touched[it.Key] })
	if err := c.inherit(ctx, nil, all); err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(it Item) bool { return it.Outcome == store.Unchanged })
	for i := range all {
		all[i].Pending = pending
	}
	if len(all) == 0 {
		return nil
	}
	if err := c.write(ctx, all); err != nil {
		return err
	}
	shown := changedIDs(nil, all, func(it *Item) bool { return it.State() != it.Before })
	for _, r := range c.of(store.IsAbout, func(r store.Relation) bool { return len(shown[r.To]) > 0 }) {
		about, err := c.Graph.Dependants(ctx, r, shown[r.To], allDependants)
		switch {
		case err != nil || len(about) == 0:
		case pending:
			err = c.Graph.Touch(ctx, about)
		default:
			err = c.Rewrite(ctx, about, allOf(about), false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// allDependants is more than the rows of a directory.
const allDependants = 1 << 40

func allOf(keys []store.RowKey) map[store.RowKey]bool {
	all := make(map[store.RowKey]bool, len(keys))
	for _, k := range keys {
		all[k] = true
	}
	return all
}
