package policy

import (
	"fmt"
	"slices"
	"strings"

	"muster/internal/auth"
	"muster/internal/fhir"
	"muster/internal/search/bound"
	"muster/internal/search/query"
)

// Access is what one client may learn in one interaction. The zero value allows nothing.
//
// A client reaches the resources of its Types and no others (AU-02, AU-03): it may not ask for
// another type, and no step of a criterion may lead to one, since the answer would tell what a
// resource is like that the client may not see. A Provenance also tells about its targets, so it is
// as if a Provenance about another type did not exist.
type Access struct {
	Interaction auth.Interaction // of the refusals
	Types       fhir.TypeSet     // that the client reaches
	Suppressed  Suppressed
	// DeltasOnly refuses exports that do not update a copy.
	DeltasOnly bool
}

// FullAccess returns the access of the operator of the directory.
func FullAccess() Access { return Access{Types: fhir.AllTypes(), Suppressed: SuppressedOffered} }

// Access returns what a client may learn in an interaction.
func (r SuppressedRules) Access(p auth.Principal, i auth.Interaction) Access {
	return Access{Interaction: i, Types: p.May(i), Suppressed: r.For(p), DeltasOnly: p.Policy.DeltasOnly}
}

// interactionNames are the interactions in a refusal.
var interactionNames = map[auth.Interaction]string{auth.Search: "searches", auth.Read: "reads", auth.Export: "exports"}

// Check returns a [fhir.Issue] with the code forbidden if the client does not reach all of the
// types. It names those that are missing, and the scopes to ask for.
func (a Access) Check(types fhir.TypeSet) error {
	missing := types.Without(a.Types)
	if missing == 0 {
		return nil
	}
	return fhir.Issue{Code: fhir.CodeForbidden, Reason: fhir.ScopeMissing,
		Diagnostics: fmt.Sprintf("The token does not cover %s in %s: %s.", missing, interactionNames[a.Interaction], askFor(missing))}
}

// askFor says which scopes a token must have for types.
func askFor(types fhir.TypeSet) string {
	var scopes []string
	for _, t := range types.Types() {
		scopes = append(scopes, "system/"+t.String()+".rs")
	}
	if len(scopes) == 1 {
		return "ask for a token with the scope " + scopes[0]
	}
	return "ask for a token with the scopes " + strings.Join(scopes, " ")
}

// beyond returns the place of the first step that leads to types which the client does not reach,
// and what to write instead. A step must not lead to a single one of them, since what does not match
// tells about it too. The text is empty if there is no such step.
func (a Access) beyond(n bound.Node) (at query.Span, problem string) {
	switch n := n.(type) {
	case bound.Chain:
		var types fhir.TypeSet
		for _, step := range n.Steps {
			types |= fhir.TypesOf(step.Targets...)
		}
		if missing := types.Without(a.Types); missing != 0 {
			return n.NameAt, a.leadsTo(missing, narrower(n.Chain, types.Without(missing)))
		}
		return a.beyond(n.Next)
	case bound.Has:
		if missing := fhir.TypesOf(n.From).Without(a.Types); n.From != 0 && missing != 0 {
			return n.NameAt, a.leadsTo(missing, "")
		}
		return a.beyond(n.Next)
	case bound.TypeTest:
		if t, ok := fhir.ParseType(n.Type); ok && !a.Types.Has(t) {
			return n.At, a.leadsTo(fhir.TypesOf(t), "")
		}
	}
	return query.Span{}, ""
}

// leadsTo describes a step to types that the client does not reach.
func (a Access) leadsTo(missing fhir.TypeSet, instead string) string {
	return fmt.Sprintf("leads to %s, which the token does not cover in %s: %s%s", missing, interactionNames[a.Interaction], instead, askFor(missing))
}

// narrower says how to write a step that leads to some of its types only.
func narrower(c query.Chain, types fhir.TypeSet) string {
	if types == 0 {
		return ""
	}
	c.Type = types.Types()[0].String()
	return "write " + c.String() + ", or "
}

// CheckInclude returns why a client may not follow a reference between resources of a type and any of
// the targets. A reference to several types brings what the client
// reaches, so one of them is enough. The text is empty if the client may follow it.
func (a Access) CheckInclude(source fhir.Type, targets []fhir.Type) (problem string) {
	missing := fhir.TypesOf(source).Without(a.Types)
	if !slices.ContainsFunc(targets, a.Types.Has) {
		missing |= fhir.TypesOf(targets...).Without(a.Types)
	}
	if missing == 0 {
		return ""
	}
	return fmt.Sprintf("needs %s, which the token does not cover in %s: %s", missing, interactionNames[a.Interaction], askFor(missing))
}
