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

// Graph finds the resources on which states depend, in the transaction of a chunk.
type Graph interface {
	// Owners returns the own states of the resources of a type, those of the last version for
	// removed ones. Others are missing.
	Owners(ctx context.Context, t fhir.Type, ids []string) (map[string]index.Visibility, error)
	// Users returns the effective states of the users of each resource: of a present user the
	// one in its row, and of a removed one nothing. Equal states may be returned once.
	Users(ctx context.Context, used fhir.Type, ids []string) (map[string][]index.Visibility, error)
	// RemovedUsers returns the removed resources that used one of the resources.
	RemovedUsers(ctx context.Context, used fhir.Type, ids []string) ([]RemovedUser, error)
	// UsedByRemoved returns the ids of the resources that the removed dependants of owners used.
	UsedByRemoved(ctx context.Context, owner fhir.Type, ids []string) ([]string, error)
	// References returns the references of the rows by the parameters.
	References(ctx context.Context, keys []store.RowKey, params []int) ([]Reference, error)
	// ReferencesOfRemoved returns the references by which the removed resources with the ids
	// used others.
	ReferencesOfRemoved(ctx context.Context, t fhir.Type, ids []string) ([]Reference, error)
	// Dependants returns up to limit keys of the rows that have a reference of the relation to
	// one of the ids.
	Dependants(ctx context.Context, r store.Relation, ids []string, limit int) ([]store.RowKey, error)
	// Keys returns the keys of the rows with the ids; with inheriting only of those that inherit
	// a state.
	Keys(ctx context.Context, t fhir.Type, ids []string, inheriting bool) ([]store.RowKey, error)
	// Range returns up to limit keys of rows from first to last, in ascending order.
	Range(ctx context.Context, first, last store.RowKey, limit int) ([]store.RowKey, error)
	// Load returns an item for each row: an update with the own document and the own state.
	Load(ctx context.Context, keys []store.RowKey) ([]Item, error)

	// KeepOwn writes the own documents of items that inherit a state, and deletes those of items
	// that do not.
	KeepOwn(ctx context.Context, items []Item) error
	// SetInherited changes the inherited states of rows whose version stays.
	SetInherited(ctx context.Context, items []Item) error
	// Remember keeps the references of removed resources with their own states.
	Remember(ctx context.Context, references []Reference, own map[store.RowKey]index.Visibility) error
	// Forget deletes the references of removed resources that are created again.
	Forget(ctx context.Context, t fhir.Type, ids []string) error

	// Mark makes the dependants of the causes and theirs pending, and lists them for slices.
	Mark(ctx context.Context, causes []Cause) error
	// Next returns the next listed rows, of one level, and which of them were touched: a
	// resource that they are about has changed.
	Next(ctx context.Context, limit int) (keys []store.RowKey, touched map[store.RowKey]bool, err error)
	// Touch marks listed rows as touched.
	Touch(ctx context.Context, keys []store.RowKey) error
	// Done strikes rows off the list.
	Done(ctx context.Context, keys []store.RowKey) error
	// Finish ends the cascade: no row is pending any more.
	Finish(ctx context.Context) error
}

// Reference is a reference of a row, or of a removed resource.
type Reference struct {
	From  store.RowKey
	Param int
	Type  fhir.Type
	ID    string
}

// RemovedUser is a removed resource that used another one, with its own state and its owners.
type RemovedUser struct {
	Used   string // the id of what it used
	Own    index.Visibility
	Owners []Reference
}

// Cause is a reason why states may be wrong: that of each row that has a reference of the relation
// to one of the ids, or that of the rows with the keys.
type Cause struct {
	Relation store.Relation
	IDs      []string
	Keys     []store.RowKey
}

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

// Slice writes the next resources of an unfinished cascade, at most limit. It reports whether that
// was the last one: nothing is pending any more.
func (c *Cascade) Slice(ctx context.Context, limit int) (finished bool, written int, err error) {
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

// allDependants is more than the rows of a directory.
const allDependants = 1 << 40

func allOf(keys []store.RowKey) map[store.RowKey]bool {
	all := make(map[store.RowKey]bool, len(keys))
	for _, k := range keys {
		all[k] = true
	}
	return all
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
