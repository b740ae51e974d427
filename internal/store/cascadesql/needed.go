package cascadesql

import (
	"fmt"
	"strings"

	"muster/internal/store"
)

// Needed returns the condition under which the state of a resource follows from the tombstone t, so
// that no sweep may delete it. It has no arguments, and is the same in both dialects.
//
// A resource has the state of an owner that was removed for as long as it refers to it. A removed
// user counts for as long as what it used exists. Either ends when the removed resource is created
// again. Of several tombstones of an owner, the last one counts.
func Needed(rules store.Rules) string {
	conditions := []string{`1 = 0`}
	for _, r := range rules.Relations() {
		switch r.Kind {
		case store.BelongsTo:
			conditions = append(conditions, fmt.Sprintf(`t.type = %[1]d AND t.own_visibility <> 0
				AND NOT EXISTS (SELECT 1 FROM resource AS r WHERE r.type = t.type AND r.id = t.id)
				AND NOT EXISTS (SELECT 1 FROM tombstone AS n WHERE n.type = t.type AND n.id = t.id AND n.version > t.version)
				AND (EXISTS (SELECT 1 FROM ix_reference AS x WHERE x.param = %[2]d AND x.id = t.id AND x.type = %[3]s)
					OR EXISTS (SELECT 1 FROM removed_reference AS o WHERE o.param = %[2]d AND o.id = t.id))`, int64(r.To), r.Param, nameOf(r.To)))
		case store.Uses:
			conditions = append(conditions, fmt.Sprintf(`t.type = %d AND EXISTS (SELECT 1 FROM removed_reference AS u JOIN resource AS e ON e.type = %d AND e.id = u.id
				WHERE u.row_key = t.row_key AND u.param = %d)`, int64(r.From), int64(r.To), r.Param))
		}
	}
	return `(` + strings.Join(conditions, `) OR (`) + `)`
}
