package compare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"muster/internal/blob"
	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/searchset"
	"muster/internal/server"
)

// Client asks the real HTTP handler over the store of a trial, without a network.
type Client struct{ handler http.Handler }

// Serve makes the handler of a server over the trial's store. Blobs is the folder of
// exports, which nobody asks for here.
func (t *Trial) Serve(blobs *blob.Folder) (*Client, error) {
	store, ok := t.Store.(searchset.Store)
	if !ok {
		return nil, fmt.Errorf("the store %T answers no searches", t.Store)
	}
	logger := slog.New(slog.DiscardHandler)
	handler, err := server.New(server.Config{
		Exports: export.New(export.Config{
			Store: t.Store, Blobs: blobs, Compiler: t.compiler, BaseURL: Base, Zone: t.config.Zone, Now: time.Now, Logger: logger,
		}),
		ParseExport: func(_ context.Context, body []byte) (export.Request, error) {
			return export.ParseRequest(body, t.compiler, export.DefaultRules(), policy.SuppressedOffered)
		},
		Searches: searchset.New(searchset.Config{
			Store: store, Compiler: t.compiler, Registry: t.config.Registry, BaseURL: Base, Rules: policy.SearchRules{RequireSubstantive: true},
			Suppressed: policy.SuppressedRules{Search: true, Local: true},
		}),
		Registry: t.config.Registry, BaseURL: Base, Version: "test", Logger: logger, Now: time.Now, StrictAccept: true, RequestIDStrict: true,
	})
	if err != nil {
		return nil, err
	}
	return &Client{handler}, nil
}

// Answer is as much of an answer as is compared.
type Answer struct {
	ID       string      // of a resource that was read
	Matches  []string    // ids, in order
	Includes []string    // Type/id, in order
	Total    int         // -1 if the Bundle has none
	Next     string      // address of the next page, if there is one
	Refused  fhir.Issues // of an OperationOutcome; nil if nothing was refused
}

// responseBody is a searchset, an OperationOutcome or a resource.
type responseBody struct {
	ResourceType string
	Type         json.RawMessage // of a Bundle a string, of an Organization none
	ID           string
	Total        *int
	Link         []struct{ Relation, URL string }
	Entry        []entry
	Issue        []struct{ Code, Diagnostics string }
}

type entry struct {
	FullURL  string `json:"fullUrl"`
	Resource struct{ ResourceType, ID string }
	Search   struct{ Mode string }
}

// Get asks for Type?query or Type/id, where spaces and characters beyond ASCII need no
// escape, or for an address that came from the server.
func (c *Client) Get(ctx context.Context, text string) (Answer, error) {
	address := text
	if !strings.HasPrefix(text, Base) {
		address = Base + "/" + escaped(text)
	}
	request := httptest.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	request.Header.Set("Accept", "application/fhir+json")
	recorder := httptest.NewRecorder()
	c.handler.ServeHTTP(recorder, request)
	var b responseBody
	if err := json.Unmarshal(recorder.Body.Bytes(), &b); err != nil {
		return Answer{}, fmt.Errorf("%d: %w", recorder.Code, err)
	}
	if kind := recorder.Header().Get("Content-Type"); !strings.HasPrefix(kind, "application/fhir+json") {
		return Answer{}, fmt.Errorf("the answer is of type %q", kind)
	}
	switch failed := recorder.Code >= 400; {
	case failed != (b.ResourceType == "OperationOutcome"), !failed && recorder.Code != http.StatusOK:
		return Answer{}, fmt.Errorf("%d comes with a %s", recorder.Code, b.ResourceType)
	case failed:
		return b.refusal()
	case b.ResourceType != "Bundle":
		return Answer{ID: b.ID, Total: -1}, nil
	}
	return b.searchset()
}

func (b responseBody) refusal() (Answer, error) {
	var a Answer
	for _, i := range b.Issue {
		a.Refused = append(a.Refused, fhir.Issue{Code: fhir.Code(i.Code), Diagnostics: i.Diagnostics})
	}
	if len(a.Refused) == 0 {
		return a, errors.New("the OperationOutcome has no issue")
	}
	return a, nil
}

func (b responseBody) searchset() (Answer, error) {
	a := Answer{Total: -1}
	if string(b.Type) != `"searchset"` {
		return a, fmt.Errorf("the Bundle is of type %s", b.Type)
	}
	if b.Total != nil {
		a.Total = *b.Total
	}
	for _, l := range b.Link {
		if l.Relation == "next" {
			a.Next = l.URL
		}
	}
	for _, e := range b.Entry {
		name := e.Resource.ResourceType + "/" + e.Resource.ID
		switch e.Search.Mode {
		case "match":
			a.Matches = append(a.Matches, e.Resource.ID)
		case "include":
			a.Includes = append(a.Includes, name)
		case "outcome":
			continue
		default:
			return a, fmt.Errorf("the entry %s has the mode %q", name, e.Search.Mode)
		}
		if e.FullURL != Base+"/"+name {
			return a, fmt.Errorf("the entry %s has the fullUrl %q", name, e.FullURL)
		}
	}
	return a, nil
}

// Search asks a search page by page and returns all of its matches, in ascending order of
// ids. Each page must be as long as count says, but for the last, and each must tell the
// same total, which is the number of all. Its error is fhir.Issues where the search is
// isRefused.
func (c *Client) Search(ctx context.Context, text string, count int) ([]string, error) {
	var ids []string
	for address := fmt.Sprintf("%s&_count=%d", text, count); ; {
		a, err := c.Get(ctx, address)
		if err != nil {
			return nil, err
		}
		if a.Refused != nil {
			return nil, a.Refused
		}
		ids = append(ids, a.Matches...)
		if len(a.Matches) > count || a.Next != "" && len(a.Matches) < count {
			return ids, fmt.Errorf("a page has %d matches, _count is %d", len(a.Matches), count)
		}
		if a.Next == "" {
			if a.Total != len(ids) {
				return ids, fmt.Errorf("the total is %d, the pages hold %d", a.Total, len(ids))
			}
			slices.Sort(ids)
			return ids, nil
		}
		address = a.Next
	}
}

// escaped makes an address of a text: it writes what no address may hold as it is, and
// leaves escapes alone.
func escaped(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{}", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
