package writepath

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
)

// inherit sets what the items and the dependants inherit. A dependant that stays as it is becomes
// Unchanged.
func (c *Cascade) inherit(ctx context.Context, items, extra []Item) error {
	inherited, err := c.inherited(ctx, items, extra)
	if err != nil {
		return err
	}
	for i := range items {
		it := &items[i]
		if !it.Written() {
			continue
		}
		if it.Inherited = inherited[resourceID{it.Type, it.ID}]; it.Inherited == 0 {
			continue
		}
		if err := c.compose(it); err != nil {
			return err
		}
	}
	for i := range extra {
		it := &extra[i]
		next := inherited[resourceID{it.Type, it.ID}]
		about := c.Level(it.Type) == aboutLevel // it gets a new version with the same content
		if next == it.Inherited && !about {
			it.Outcome = store.Unchanged
			continue
		}
		if err := c.recompose(it, next); err != nil {
			return err
		}
	}
	return nil
}

// recompose sets what is stored of a dependant that inherits another state now.
func (c *Cascade) recompose(it *Item, next index.Visibility) error {
	if c.Level(it.Type) == aboutLevel {
		it.differs = &index.Difference{}
		return nil
	}
	document, differs, err := c.Rules.Recompose(it.Type, it.ID, it.Document, it.Inherited, next)
	if err != nil {
		return errInherits(it, err)
	}
	stored, _ := it.Stored()
	it.silent = bytes.Equal(stored.Tail, document.Tail)
	it.Inherited, it.composed, it.differs = next, &composed{document: document}, &differs
	return nil
}

func errInherits(it *Item, err error) error {
	return fmt.Errorf("write what %v/%s inherits: %w", it.Type, it.ID, err)
}

// compose sets what is stored of an item.
func (c *Cascade) compose(it *Item) error {
	document, entries, err := c.Rules.Compose(it.Type, it.ID, it.Document, it.Inherited)
	if err != nil {
		return errInherits(it, err)
	}
	it.composed = &composed{document, entries}
	return nil
}

// inherited computes what resources of one level inherit, by their ids.
func (c *Cascade) inherited(ctx context.Context, items, extra []Item) (map[resourceID]index.Visibility, error) {
	owners, err := c.ownersOf(ctx, items, extra)
	if err != nil {
		return nil, err
	}
	users, err := c.usersOf(ctx, items, extra)
	if err != nil {
		return nil, err
	}
	states, err := c.states(ctx, slices.Concat(slices.Collect(maps.Values(owners))...))
	if err != nil {
		return nil, err
	}
	inherited := map[resourceID]index.Visibility{}
	for _, list := range [][]Item{items, extra} {
		for i := range list {
			r := resourceID{list[i].Type, list[i].ID}
			if len(owners[r])+len(users[r.id]) > 0 {
				inherited[r] = c.Rules.Inherit(states.of(owners[r]), users[r.id])
			}
		}
	}
	return inherited, nil
}

// ownersOf returns the references of resources to their owners.
func (c *Cascade) ownersOf(ctx context.Context, items, extra []Item) (map[resourceID][]Reference, error) {
	owners := map[resourceID][]Reference{}
	for i := range items {
		it := &items[i]
		if !it.Written() {
			continue
		}
		for _, r := range c.of(store.BelongsTo, func(r store.Relation) bool { return r.From == it.Type }) {
			for j := range it.Entries {
				if e := &it.Entries[j]; e.Kind == index.Reference && e.Param == r.Param && e.System == r.To.String() {
					of := resourceID{it.Type, it.ID}
					owners[of] = append(owners[of], Reference{Param: r.Param, Type: r.To, ID: e.Code})
				}
			}
		}
	}
	keys := map[store.RowKey]resourceID{}
	for i := range extra {
		keys[extra[i].Key] = resourceID{extra[i].Type, extra[i].ID}
	}
	relations := c.of(store.BelongsTo, func(r store.Relation) bool { return hasType(extra, r.From) })
	if len(relations) == 0 {
		return owners, nil
	}
	references, err := c.Graph.References(ctx, slices.Sorted(maps.Keys(keys)), paramsOf(relations))
	for _, r := range references {
		if slices.ContainsFunc(relations, func(of store.Relation) bool { return of.Param == r.Param && of.To == r.Type }) {
			of := keys[r.From]
			owners[of] = append(owners[of], r)
		}
	}
	return owners, err
}

func hasType(items []Item, t fhir.Type) bool {
	return slices.ContainsFunc(items, func(it Item) bool { return it.Type == t })
}

// usersOf returns the states of the users of resources, by id. All resources are of one level, of
// which only the one of used resources has users, and it has one type.
func (c *Cascade) usersOf(ctx context.Context, items, extra []Item) (map[string][]index.Visibility, error) {
	var used fhir.Type
	var ids []string
	for _, list := range [][]Item{items, extra} {
		for i := range list {
			if it := &list[i]; it.Written() && c.Level(it.Type) == usedLevel {
				used, ids = it.Type, append(ids, it.ID)
			}
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	users, err := c.Graph.Users(ctx, used, ids)
	if err != nil {
		return nil, err
	}
	removed, err := c.Graph.RemovedUsers(ctx, used, ids)
	if err != nil || len(removed) == 0 {
		return users, err
	}
	var owners []Reference
	for _, u := range removed {
		owners = append(owners, u.Owners...)
	}
	states, err := c.states(ctx, owners)
	for _, u := range removed {
		// One that is not hidden no longer counts: it would keep in view what only hidden
		// resources use.
		if state := (u.Own | c.Rules.Inherit(states.of(u.Owners), nil)) & index.Hidden; state != 0 {
			users[u.Used] = append(users[u.Used], state)
		}
	}
	return users, err
}

// ownerStates are the own states of owners.
type ownerStates map[resourceID]index.Visibility

// of returns the owners of a resource with their states. Those that never arrived are left out.
func (s ownerStates) of(references []Reference) (owners []store.Owner) {
	for _, r := range references {
		if state, ok := s[resourceID{r.Type, r.ID}]; ok {
			owners = append(owners, store.Owner{Type: r.Type, State: state})
		}
	}
	return owners
}

// states looks up the own states of owners.
func (c *Cascade) states(ctx context.Context, owners []Reference) (ownerStates, error) {
	ids := map[fhir.Type][]string{}
	for _, r := range owners {
		ids[r.Type] = append(ids[r.Type], r.ID)
	}
	states := ownerStates{}
	for _, t := range slices.Sorted(maps.Keys(ids)) {
		slices.Sort(ids[t])
		found, err := c.Graph.Owners(ctx, t, slices.Compact(ids[t]))
		if err != nil {
			return nil, err
		}
		for id, state := range found {
			states[resourceID{t, id}] = state
		}
	}
	return states, nil
}

// Differences returns those of the rows, of one level or of several, that do not have the state that
// they inherit.
func (c *Cascade) Differences(ctx context.Context, keys []store.RowKey) (found []store.Difference, err error) {
	c.prepare()
	byLevel := map[int][]store.RowKey{}
	for _, k := range keys {
		level := c.Level(k.Type())
		byLevel[level] = append(byLevel[level], k)
	}
	for _, level := range []int{usersLevel, usedLevel} {
		if len(byLevel[level]) == 0 {
			continue
		}
		all, err := c.Graph.Load(ctx, byLevel[level])
		if err != nil {
			return nil, err
		}
		inherited, err := c.inherited(ctx, nil, all)
		if err != nil {
			return nil, err
		}
		for i := range all {
			it := &all[i]
			if want := inherited[resourceID{it.Type, it.ID}]; want != it.Inherited {
				found = append(found, store.Difference{Type: it.Type, ID: it.ID, Inherited: it.Inherited, Want: want})
			}
		}
	}
	return found, nil
}

// inheriting returns the types whose resources inherit a state, in the order of their levels.
func (c *Cascade) inheriting() (types []fhir.Type) {
	c.prepare()
	for _, level := range []int{usersLevel, usedLevel} {
		for _, t := range fhir.Types() {
			if c.levelOf[t] == level {
				types = append(types, t)
			}
		}
	}
	return types
}
