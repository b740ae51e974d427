package writepath

import (
	"context"
	"maps"
	"slices"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
)

// beforeLevel is what was stored of the items of a level.
type beforeLevel struct {
	own        map[resourceID]index.Visibility // own states of owners that are created again
	used       map[resourceID][]string         // ids of what users used
	references []Reference                     // of users that are removed
}

// before looks up what the items change.
func (c *Cascade) before(ctx context.Context, level int, items []Item) (b beforeLevel, err error) {
	b = beforeLevel{own: map[resourceID]index.Visibility{}, used: map[resourceID][]string{}}
	created := map[fhir.Type][]string{}
	keys, removed := map[store.RowKey]resourceID{}, map[store.RowKey]bool{}
	for i := range items {
		if it := &items[i]; it.Outcome == store.Created {
			created[it.Type] = append(created[it.Type], it.ID)
		} else {
			keys[it.Key], removed[it.Key] = resourceID{it.Type, it.ID}, it.Outcome == store.Removed
		}
	}
	uses := c.of(store.Uses, anyRelation)
	switch level {
	case ownersLevel:
		for t, ids := range created {
			states, err := c.Graph.Owners(ctx, t, ids)
			if err != nil {
				return b, err
			}
			for id, state := range states {
				b.own[resourceID{t, id}] = state
			}
		}
	case usersLevel:
		for t, ids := range created {
			references, err := c.Graph.ReferencesOfRemoved(ctx, t, ids)
			if err != nil {
				return b, err
			}
			for n := range references {
				of := resourceID{t, ids[0]} // whose it was does not matter: all are looked up
				b.used[of] = append(b.used[of], references[n].ID)
			}
		}
		if len(keys) == 0 {
			break
		}
		references, err := c.Graph.References(ctx, slices.Sorted(maps.Keys(keys)), append(paramsOf(c.of(store.BelongsTo, anyRelation)), paramsOf(uses)...))
		if err != nil {
			return b, err
		}
		for _, r := range references {
			if slices.ContainsFunc(uses, func(u store.Relation) bool { return u.Param == r.Param && u.To == r.Type }) {
				b.used[keys[r.From]] = append(b.used[keys[r.From]], r.ID)
			}
			if removed[r.From] && slices.ContainsFunc(c.relations, func(of store.Relation) bool { return of.Param == r.Param && of.To == r.Type }) {
				b.references = append(b.references, r)
			}
		}
	}
	return b, nil
}

// remember keeps the references of removed users, which count while they are hidden.
func (c *Cascade) remember(ctx context.Context, items []Item, before beforeLevel) error {
	if len(before.references) == 0 {
		return nil
	}
	own := map[store.RowKey]index.Visibility{}
	for i := range items {
		own[items[i].Key] = items[i].Own
	}
	return c.Graph.Remember(ctx, before.references, own)
}

// follow finds the dependants of what a level has written.
func (c *Cascade) follow(ctx context.Context, level int, items, extra []Item, before beforeLevel) error {
	if level == aboutLevel {
		return nil
	}
	shown := changedIDs(items, extra, func(it *Item) bool {
		return it.Outcome != store.Updated || it.State() != it.Before
	})
	if err := c.followOwners(ctx, level, items, before); err != nil {
		return err
	}
	if level == usersLevel {
		if err := c.followUsers(ctx, items, extra, before); err != nil {
			return err
		}
	}
	for _, r := range c.of(store.IsAbout, func(r store.Relation) bool { return len(shown[r.To]) > 0 }) {
		if err := c.followRelation(ctx, r, shown[r.To]); err != nil {
			return err
		}
	}
	return nil
}

// changedIDs returns the ids of the items for which changed is true, by type.
func changedIDs(items, extra []Item, changed func(*Item) bool) map[fhir.Type][]string {
	ids := map[fhir.Type][]string{}
	for _, list := range [][]Item{items, extra} {
		for i := range list {
			if it := &list[i]; changed(it) {
				ids[it.Type] = append(ids[it.Type], it.ID)
			}
		}
	}
	return ids
}

// followOwners finds what belongs to owners whose own state has changed. A removed one keeps its
// state.
func (c *Cascade) followOwners(ctx context.Context, level int, items []Item, before beforeLevel) error {
	if level != ownersLevel {
		return nil
	}
	changed := changedIDs(items, nil, func(it *Item) bool {
		switch it.Outcome {
		case store.Created:
			return it.Visibility != before.own[resourceID{it.Type, it.ID}]
		case store.Updated:
			return it.Visibility != it.Own
		}
		return false
	})
	for _, r := range c.of(store.BelongsTo, func(r store.Relation) bool { return len(changed[r.To]) > 0 }) {
		if err := c.followRelation(ctx, r, changed[r.To]); err != nil {
			return err
		}
	}
	for t, ids := range changed {
		used, err := c.Graph.UsedByRemoved(ctx, t, ids)
		if err != nil {
			return err
		}
		if err := c.followUsed(ctx, used, false); err != nil {
			return err
		}
	}
	return nil
}

// followRelation finds the rows with a reference of the relation to one of the ids.
func (c *Cascade) followRelation(ctx context.Context, r store.Relation, ids []string) error {
	c.causes = append(c.causes, Cause{Relation: r, IDs: ids})
	if c.many {
		return nil
	}
	keys, err := c.Graph.Dependants(ctx, r, ids, max(c.Few, 0)+1)
	if len(keys) > c.Few {
		c.many = true // and more of them than were looked up
	}
	level := c.Level(r.From)
	c.dirty[level] = append(c.dirty[level], keys...)
	return err
}

// followUsers finds what users use, if its state may have changed: it may be hidden now if a user
// is hidden, and shown again if a user is visible.
func (c *Cascade) followUsers(ctx context.Context, items, extra []Item, before beforeLevel) error {
	var used, shown []string
	for i := range items {
		it := &items[i]
		was, now := before.used[resourceID{it.Type, it.ID}], c.usedBy(it)
		switch {
		case it.Outcome == store.Removed:
			used = append(used, was...)
		case it.Outcome == store.Created && it.State() == 0:
			used, shown = append(used, was...), append(shown, now...)
		case it.Outcome == store.Created, it.State() != it.Before, !sameIDs(was, now):
			used = append(append(used, was...), now...)
		}
	}
	var keys []store.RowKey
	for i := range extra {
		if extra[i].State() != extra[i].Before {
			keys = append(keys, extra[i].Key)
		}
	}
	if len(keys) > 0 {
		references, err := c.Graph.References(ctx, keys, paramsOf(c.of(store.Uses, anyRelation)))
		if err != nil {
			return err
		}
		for _, r := range references {
			used = append(used, r.ID)
		}
	}
	if err := c.followUsed(ctx, used, false); err != nil {
		return err
	}
	return c.followUsed(ctx, shown, true)
}

// usedBy returns the ids of what the new version of a user uses.
func (c *Cascade) usedBy(it *Item) (ids []string) {
	for _, r := range c.of(store.Uses, func(r store.Relation) bool { return r.From == it.Type }) {
		for j := range it.Entries {
			if e := &it.Entries[j]; e.Kind == index.Reference && e.Param == r.Param && e.System == r.To.String() {
				ids = append(ids, e.Code)
			}
		}
	}
	return ids
}

func sameIDs(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

// followUsed finds the rows of what is used; with inheriting only those that inherit a state, since
// a visible user hides nothing.
func (c *Cascade) followUsed(ctx context.Context, ids []string, inheriting bool) error {
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	used := c.of(store.Uses, anyRelation)[0].To
	keys, err := c.Graph.Keys(ctx, used, ids, inheriting)
	if err != nil || len(keys) == 0 {
		return err
	}
	c.causes = append(c.causes, Cause{Keys: keys})
	c.dirty[usedLevel] = append(c.dirty[usedLevel], keys...)
	return nil
}
