// Package index turns a resource into index entries, and defines the tables that hold
// them. It runs when a resource is written; searches read the entries.
//
// # Flow
//
// [NewExtractor] compiles each indexed parameter of the registry once: its
// expression (package fhirpath) and the rule for its data type (values.go), or a rule in
// code where the published expression does not match the directory (native.go).
// [Extractor.Extract] applies them to one parsed resource. [Fold], [System] and [Spell]
// normalise texts, code systems, codes and uris for comparison, and [Zone] is the time zone
// of dates without one. A search must use the same four.
//
// # Tables
//
// A store has one table for each [Kind]. Every row has the number of the parameter, which
// identifies type and code, and the row key of the resource, whose upper bits are the type.
// Each table has two indexes: by value and row key, to find resources in ascending order of
// row keys; and by row key, to delete the entries of an old version and for :missing and
// :not.
//
//	ix_token      row_key, param, code, system   system "" for none
//	ix_string     row_key, param, norm, exact    norm is folded, exact is not
//	ix_date       row_key, param, low, high      [low, high) in ms since 1970
//	ix_reference  row_key, param, id, type       type is the name of the target's type
//	ix_uri        row_key, param, value
//	ix_number     row_key, param, value      times of day as HHMM
//	ix_position   row_key, param, cell, lat, lon   an S2 cell and degrees
//
// A token whose parts can be searched for also has a string entry ([TokenText]). The parts of
// a family name have string entries with a number of their own and an empty exact ([Parts]). A
// reference with an identifier has a token entry of the same parameter, in addition to or
// instead of its reference entry (:identifier). A reference that leads to no resource of the
// directory and has no identifier has an empty token, for :missing.
//
// Three columns of the resource's row replace entries: the id (_id), the last update
// (_lastUpdated) and the [Visibility].
//
// # An example
//
// A role with row key 77, and the numbers that the definitions give to its parameters:
//
//	{"resourceType":"PractitionerRole","id":"r1",
//	 "identifier":[{"system":"http://x/prn","value":"A1"}],
//	 "practitioner":{"reference":"Practitioner/p1"}}
//
//	ix_token      77, 43 (identifier),   "A1",     "http://x/prn"
//	ix_token      77, 47 (active),       "true",   ""               active is absent: assumed
//	ix_token      77, 152 (its marker),  "absent", ""               for active:missing
//	ix_token      77, 48 (suppressed),   "false",  ""
//	ix_reference  77, 46 (practitioner), "p1",     "Practitioner"
//
// PractitionerRole?identifier=A1 reads ix_token from (43, "A1", …) and finds 77.
//
// # When things fail
//
// [NewExtractor] returns an error for a definition that cannot be compiled. Extraction
// cannot fail: an element of the wrong form has no entry. Package load rejects resources
// that must not have such elements.
package index
