package main

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// statement collects SQL text and its arguments.
type statement struct {
	text strings.Builder
	args []any
}

func (s *statement) add(text string, args ...any) *statement {
	s.text.WriteString(text)
	s.args = append(s.args, args...)
	return s
}

// term adds the condition that alias is a token entry of the term.
func (t *tables) term(s *statement, alias string, c term) {
	s.add(alias+".param=? AND ", c.param)
	switch t.variant {
	case "a":
		s.add(fmt.Sprintf("%[1]s.code=? AND %[1]s.system=?", alias), c.code, systems[c.sys])
	case "as", "ap":
		s.add(fmt.Sprintf("%[1]s.code=? AND %[1]s.system=?", alias), c.code, c.sys)
	default:
		s.add(alias+".value_id=(SELECT value_id FROM value WHERE text=? AND system=? AND exact='')", c.code, c.sys)
	}
}

// starts adds the condition that alias is a string entry starting with the text.
func (t *tables) starts(s *statement, alias string, param int, text string) {
	s.add(alias+".param=? AND ", param)
	if t.variant == "ad" {
		s.add(alias+".value_id IN (SELECT value_id FROM value WHERE text>=? AND text<? AND system=-1)", text, text+"\U0010FFFF")
		return
	}
	s.add(fmt.Sprintf("%[1]s.norm>=? AND %[1]s.norm<?", alias), text, text+"\U0010FFFF")
}

// keys is the statement for the row keys of a question, each once, in row key order. The order of work is fixed by CROSS JOIN,
// the index by INDEXED BY: rows by value through ix_…_value, values by row through the table itself.
func (t *tables) keys(q question) *statement {
	s := &statement{}
	switch q.shape {
	case "terms":
		s.add("SELECT a.row_key FROM ix_token a INDEXED BY ix_token_value")
		for i := range q.terms[1:] {
			s.add(fmt.Sprintf(" CROSS JOIN ix_token b%d", i))
		}
		s.add(" WHERE ")
		t.term(s, "a", q.terms[0])
		for i, c := range q.terms[1:] {
			s.add(fmt.Sprintf(" AND b%[1]d.row_key=a.row_key AND ", i))
			t.term(s, fmt.Sprintf("b%d", i), c)
		}
		s.add(" ORDER BY a.row_key")
	case "prefix":
		s.add("SELECT DISTINCT a.row_key FROM ix_string a INDEXED BY ix_string_value WHERE ")
		t.starts(s, "a", q.param, q.text)
		s.add(" ORDER BY a.row_key")
	case "chain":
		s.add("SELECT DISTINCT r.row_key FROM ix_string c INDEXED BY ix_string_value CROSS JOIN ix_ref r INDEXED BY ix_ref_value WHERE ")
		t.starts(s, "c", q.param, q.text)
		s.add(" AND r.param=? AND r.target=c.row_key ORDER BY r.row_key", q.ref)
	case "chain-by-row":
		s.add("SELECT a.row_key FROM ix_token a INDEXED BY ix_token_value CROSS JOIN ix_ref r CROSS JOIN ix_string c WHERE ")
		t.term(s, "a", q.terms[0])
		s.add(" AND r.row_key=a.row_key AND r.param=? AND c.row_key=r.target AND ", q.ref)
		t.starts(s, "c", q.param, q.text)
		s.add(" ORDER BY a.row_key")
	case "has":
		s.add("SELECT DISTINCT r.target FROM ix_token a INDEXED BY ix_token_value CROSS JOIN ix_ref r WHERE ")
		t.term(s, "a", q.terms[0])
		s.add(" AND r.row_key=a.row_key AND r.param=? ORDER BY r.target", q.ref)
	case "has-chain":
		s.add(`SELECT DISTINCT r.target FROM ix_string c INDEXED BY ix_string_value CROSS JOIN ix_ref v INDEXED BY ix_ref_value
			CROSS JOIN ix_ref r WHERE `)
		t.starts(s, "c", q.param, q.text)
		s.add(" AND v.param=? AND v.target=c.row_key AND r.row_key=v.row_key AND r.param=? ORDER BY r.target", q.via, q.ref)
	case "near":
		var or []string
		s.args = append(s.args, q.param)
		for _, c := range cover(q.lat, q.lon, q.km) {
			or = append(or, "SELECT row_key, cell FROM ix_geo INDEXED BY ix_geo_value WHERE param=?1 AND cell BETWEEN ? AND ?")
			s.args = append(s.args, c[0], c[1])
		}
		s.add(strings.Join(or, " UNION ALL "))
	case "not":
		s.add("SELECT a.row_key FROM ix_token a INDEXED BY ix_token_value WHERE ")
		t.term(s, "a", q.terms[0])
		s.add(" AND NOT EXISTS (SELECT 1 FROM ix_token b WHERE b.row_key=a.row_key AND ")
		t.term(s, "b", q.terms[1])
		s.add(") ORDER BY a.row_key")
	case "missing":
		s.add("SELECT a.row_key FROM ix_token a INDEXED BY ix_token_value WHERE ")
		t.term(s, "a", q.terms[0])
		s.add(" AND NOT EXISTS (SELECT 1 FROM ix_ref r WHERE r.row_key=a.row_key AND r.param=?) ORDER BY a.row_key", q.ref)
	}
	if t.variant == "ap" {
		// Tokens have one access path, so there is nothing to choose.
		text := strings.ReplaceAll(s.text.String(), " INDEXED BY ix_token_value", "")
		s.text.Reset()
		s.text.WriteString(text)
	}
	return s
}

// countLimit bounds the count that decides which term drives; it costs at most about half a millisecond per term.
const countLimit = 10_000

// ordered puts the rarest term first where the question asks for it.
func (t *tables) ordered(q question) (question, error) {
	if !q.rarest {
		return q, nil
	}
	counts := map[term]int{}
	for _, c := range q.terms {
		n, err := t.total(question{shape: "terms", terms: []term{c}}, countLimit)
		if err != nil {
			return q, err
		}
		counts[c] = n
	}
	slices.SortStableFunc(q.terms, func(a, b term) int { return counts[a] - counts[b] })
	q.rarest = false
	return q, nil
}

// page gives up to limit row keys in row key order; limit 0 means all.
func (t *tables) page(q question, limit int) ([]int64, error) {
	q, err := t.ordered(q)
	if err != nil {
		return nil, err
	}
	s := t.keys(q)
	if q.shape == "near" {
		return t.near(s, q, limit)
	}
	if limit > 0 {
		s.add(" LIMIT ?", limit)
	}
	return queryKeys(t.db, s.text.String(), s.args...)
}

// total counts the rows of a question up to limit, inside the database.
func (t *tables) total(q question, limit int) (int, error) {
	if q.shape == "near" {
		keys, err := t.page(q, limit)
		return len(keys), err
	}
	q, err := t.ordered(q)
	if err != nil {
		return 0, err
	}
	s := t.keys(q)
	text := s.text.String()
	if by := strings.LastIndex(text, " ORDER BY "); by > 0 {
		text = text[:by]
	}
	var n int
	err = t.db.QueryRow("SELECT count(*) FROM ("+text+" LIMIT ?)", append(s.args, limit)...).Scan(&n)
	return n, err
}

func (t *tables) near(s *statement, q question, limit int) ([]int64, error) {
	rows, err := t.db.Query(s.text.String(), s.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	return nearest(rows, q, limit, func(rows *sql.Rows) (key, cell int64, err error) {
		err = rows.Scan(&key, &cell)
		return key, cell, err
	})
}
