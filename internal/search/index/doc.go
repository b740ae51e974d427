// Package index turns a resource into the entries that searches find it by, and
// says what the tables that hold them mean. It runs when a resource is written;
// searches only read what it left.
//
// # Flow
//
// [NewExtractor] compiles each indexed parameter of the registry once: its
// expression (package fhirpath) and the rule for its data type (values.go), or a
// rule in code where the published expression is not what the directory means
// (native.go). [Extractor.Extract] runs them over one parsed resource. [Fold],
// [System] and [Spell] bring texts, code systems, codes and uris to the form in which
// they are compared, and [Zone] is where days without a zone lie; who asks must use
// the same four.
//
// # Tables
//
// A store keeps one table for each [Kind]. Every row ends in the parameter's
// number, which stands for type and code together, and the row key of the
// resource, whose upper bits are the type again. Each table can be read both ways:
// by value, for finding, with row keys in ascending order behind it; and by row,
// for deleting the entries of an old version, :missing and :not.
//
//	ix_token      row_key, param, code, system   system "" for none
//	ix_string     row_key, param, norm, exact    norm is folded, exact is not
//	ix_date       row_key, param, low, high      [low, high) in ms since 1970
//	ix_reference  row_key, param, id, type       type is the name of the target's type
//	ix_uri        row_key, param, value
//	ix_number     row_key, param, value      times of day as HHMM
//	ix_position   row_key, param, cell, lat, lon   an S2 cell and degrees
//
// A token whose parts can be searched for has a string entry beside it ([TokenText]).
// A reference that names its target by an identifier has a token entry under the
// same parameter beside, or instead of, its reference entry (:identifier).
//
// Three columns of the row itself take the place of entries: the id (_id), the
// last update (_lastUpdated) and the [Visibility].
//
// # An example
//
// This role, stored under row key 77, with the numbers that the definitions give
// to its parameters:
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
// PractitionerRole?identifier=A1 reads ix_token from (43, "A1", …) on and meets 77.
//
// # When things fail
//
// A definition that cannot be compiled is an error of [NewExtractor]. Extraction
// cannot fail: an element of the wrong form gives no entry, and a resource that
// must not have one is refused before, by the validator.
package index
