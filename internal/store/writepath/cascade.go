package writepath

import (
	"context"
	"slices"

	"muster/internal/fhir"
	"muster/internal/store"
)

// Cascade writes chunks with what their resources inherit. It is made for one transaction.
type Cascade struct {
	Rules store.Rules
	Graph Graph
	// Write writes items with one of the outcomes Created, Updated and Removed.
	Write func(ctx context.Context, items []Item) error
	// Few is how many dependants of its changes a chunk may write.
	Few int

	relations []store.Relation
	levelOf   map[fhir.Type]int
	causes    []Cause
	dirty     [levels][]store.RowKey
	found     int  // dependants so far
	many      bool // too many to write them in the chunk
}

// The levels of the types. States depend on those of lower levels only.
const (
	ownersLevel = iota
	usersLevel
	usedLevel
	aboutLevel
	levels
)

// prepare sorts the types into levels.
func (c *Cascade) prepare() {
	if c.levelOf != nil {
		return
	}
	c.relations, c.levelOf = c.Rules.Relations(), map[fhir.Type]int{}
	for _, r := range c.relations {
		switch r.Kind {
		case store.IsAbout:
			c.levelOf[r.From] = aboutLevel
		case store.Uses:
			c.levelOf[r.To] = usedLevel
			c.levelOf[r.From] = max(c.levelOf[r.From], usersLevel)
		case store.BelongsTo:
			c.levelOf[r.From] = max(c.levelOf[r.From], usersLevel)
		}
	}
}

// Level returns the number of the level on which the state of a row is written: it depends on the
// states of lower levels only.
func (c *Cascade) Level(t fhir.Type) int {
	c.prepare()
	return c.levelOf[t]
}

// of returns the relations of a kind.
func (c *Cascade) of(kind store.RelationKind, holds func(store.Relation) bool) (found []store.Relation) {
	for _, r := range c.relations {
		if r.Kind == kind && holds(r) {
			found = append(found, r)
		}
	}
	return found
}

func anyRelation(store.Relation) bool { return true }

func paramsOf(relations []store.Relation) (params []int) {
	for _, r := range relations {
		if !slices.Contains(params, r.Param) {
			params = append(params, r.Param)
		}
	}
	return params
}

// Chunk writes the items of a chunk and their dependants, level by level: a level is stored when
// the next one looks up its states. It reports whether dependants are left for slices; the
// transaction must end then.
func (c *Cascade) Chunk(ctx context.Context, items []Item) (left bool, err error) {
	c.prepare()
	c.causes, c.dirty, c.found = nil, [levels][]store.RowKey{}, 0
	var byLevel [levels][]Item
	for i := range items {
		if it := &items[i]; it.Written() || it.Outcome == store.Removed {
			level := c.Level(it.Type)
			byLevel[level] = append(byLevel[level], *it)
		}
	}
	for level := range levels {
		if err := c.writeLevel(ctx, level, byLevel[level]); err != nil {
			return false, err
		}
	}
	if !c.many {
		return false, nil
	}
	return true, c.Graph.Mark(ctx, c.causes)
}

// writeLevel writes the items of a level and the dependants on it.
func (c *Cascade) writeLevel(ctx context.Context, level int, items []Item) error {
	extra, err := c.dependants(ctx, level, items)
	if err != nil {
		return err
	}
	if len(items)+len(extra) == 0 {
		return nil
	}
	before, err := c.before(ctx, level, items)
	if err != nil {
		return err
	}
	if err := c.inherit(ctx, items, extra); err != nil {
		return err
	}
	extra = slices.DeleteFunc(extra, func(it Item) bool { return it.Outcome == store.Unchanged })
	if err := c.write(ctx, slices.Concat(items, extra)); err != nil {
		return err
	}
	if err := c.remember(ctx, items, before); err != nil {
		return err
	}
	return c.follow(ctx, level, items, extra, before)
}

// dependants loads the rows of a level that depend on changes, except those of the items.
func (c *Cascade) dependants(ctx context.Context, level int, items []Item) ([]Item, error) {
	keys := c.dirty[level]
	if len(keys) == 0 || c.many {
		return nil, nil
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	written := make(map[store.RowKey]bool, len(items))
	for i := range items {
		written[items[i].Key] = true
	}
	keys = slices.DeleteFunc(keys, func(k store.RowKey) bool { return written[k] })
	if c.found += len(keys); c.found > c.Few {
		c.many = true
		return nil, nil
	}
	return c.Graph.Load(ctx, keys)
}

// write writes items, whose inherited state is known, and sets the keys of created ones.
func (c *Cascade) write(ctx context.Context, all []Item) error {
	var silent, versions []Item
	var at []int
	for i := range all {
		if all[i].silent {
			silent = append(silent, all[i])
		} else {
			versions, at = append(versions, all[i]), append(at, i)
		}
	}
	if len(versions) > 0 {
		if err := c.Write(ctx, versions); err != nil {
			return err
		}
	}
	again := map[fhir.Type][]string{}
	for n, i := range at {
		all[i].Key = versions[n].Key
		if it := &versions[n]; it.Outcome == store.Created && it.Version > 0 && c.Level(it.Type) == usersLevel {
			again[it.Type] = append(again[it.Type], it.ID)
		}
	}
	for t, ids := range again {
		if err := c.Graph.Forget(ctx, t, ids); err != nil {
			return err
		}
	}
	if len(silent) > 0 {
		if err := c.Graph.SetInherited(ctx, silent); err != nil {
			return err
		}
	}
	return c.KeepOwn(ctx, all)
}

// KeepOwn keeps the own documents of what inherits a state.
func (c *Cascade) KeepOwn(ctx context.Context, all []Item) error {
	var changed []Item
	for i := range all {
		if it := &all[i]; it.Written() && (it.Inherits || it.Inherited != 0) {
			changed = append(changed, *it)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return c.Graph.KeepOwn(ctx, changed)
}
