package soak

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Line is one resource of an export, reduced to what the checks need.
type Line struct {
	Name
	Version   int
	Committed time.Time // meta.lastUpdated, which is the commit time unless loads keep the meta of the source
	Text      string
	Hidden    bool
	Bytes     string
}

// Lines reads the NDJSON of one file. All resources must have the type.
func Lines(typ string, body []byte) ([]Line, error) {
	var all []Line
	for text := range bytes.Lines(body) {
		r, err := readLine(text)
		if err != nil {
			return nil, fmt.Errorf("line %d of a file of %s: %w", len(all)+1, typ, err)
		}
		if r.Type != typ {
			return nil, fmt.Errorf("%s is in a file of %s", r.Name, typ)
		}
		all = append(all, r)
	}
	return all, nil
}

func readLine(text []byte) (Line, error) {
	if !bytes.HasSuffix(text, []byte("\n")) {
		return Line{}, fmt.Errorf("the line is truncated: %q", text)
	}
	var r struct {
		ResourceType, ID, Status string
		Active                   *bool
		Meta                     struct {
			VersionID   string
			LastUpdated time.Time
		}
		Name json.RawMessage
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return Line{}, err
	}
	version, err := strconv.Atoi(r.Meta.VersionID)
	if err != nil {
		return Line{}, fmt.Errorf("versionId of %s/%s: %w", r.ResourceType, r.ID, err)
	}
	out := Line{Name: Name{r.ResourceType, r.ID}, Version: version, Committed: r.Meta.LastUpdated, Bytes: string(text)}
	if r.ResourceType == "Location" {
		out.Hidden = r.Status != "active"
		return out, json.Unmarshal(r.Name, &out.Text)
	}
	var names []struct{ Family string }
	if err := json.Unmarshal(r.Name, &names); err != nil || len(names) != 1 {
		return Line{}, fmt.Errorf("%s/%s does not have exactly one name: %s", r.ResourceType, r.ID, r.Name)
	}
	out.Hidden, out.Text = r.Active != nil && !*r.Active, names[0].Family
	return out, nil
}
