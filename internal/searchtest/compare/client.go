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
	"muster/internal/search"
	"muster/internal/searchset"
	"muster/internal/server"
	"muster/internal/store"
)

// Client sends requests to the real HTTP handler on the store of a trial, without a
// network.
type Client struct {
	handler http.Handler
	token   string // of each request, if the server needs one
}

// As returns a client that sends a token.
func (c *Client) As(token string) *Client { return &Client{c.handler, token} }

// Serve returns a client of a server on the trial's store. blobs is the folder of exports;
// it remains unused, since no exports are requested.
func (t *Trial) Serve(blobs *blob.Folder) (*Client, error) {
	handler, err := Handler(t.Store, blobs, t.compiler, t.config)
	return &Client{handler: handler}, err
}

// Handler returns the HTTP handler of a server on a store, whose clients may ask for suppressed
// resources. It answers searches and reads; blobs is the folder of exports.
func Handler(s store.Store, blobs blob.Store, compiler *search.Compiler, c Config) (http.Handler, error) {
	searched, ok := s.(searchset.Store)
	if !ok {
		return nil, fmt.Errorf("the store %T does not implement searches", s)
	}
	logger := slog.New(slog.DiscardHandler)
	return server.New(server.Config{
		Exports: export.New(export.Config{
			Store: s, Blobs: blobs, Compiler: compiler, BaseURL: Base, Zone: c.Zone, Now: time.Now, Logger: logger,
		}),
		ParseExport: func(_ context.Context, body []byte) (export.Request, error) {
			return export.ParseRequest(body, compiler, export.DefaultRules(), policy.FullAccess())
		},
		Searches: searchset.New(searchset.Config{
			Store: searched, Compiler: compiler, Registry: c.Registry, BaseURL: Base, Rules: policy.SearchRules{RequireSubstantive: true},
			Suppressed: policy.SuppressedRules{Search: true, Local: true},
		}),
		Authenticator: c.Authenticator, Registry: c.Registry, BaseURL: Base, Version: "test", Logger: logger, Now: time.Now, StrictAccept: true, RequestIDStrict: true,
	})
}

// Answer holds the compared parts of a response.
type Answer struct {
	ID       string      // of the resource, for a read
	Matches  []string    // ids, in order
	Includes []string    // Type/id, in order
	Total    int         // -1 if the Bundle has none
	Next     string      // URL of the next page, if any
	Refused  fhir.Issues // of the OperationOutcome; nil if the request was not refused
}

// responseBody is a searchset, an OperationOutcome or a resource.
type responseBody struct {
	ResourceType string
	Type         json.RawMessage // a string in a Bundle; other types differ
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

// Get requests Type?query, Type/id or a URL from the server. Spaces and non-ASCII
// characters need not be escaped.
func (c *Client) Get(ctx context.Context, text string) (Answer, error) {
	url := text
	if !strings.HasPrefix(text, Base) {
		url = Base + "/" + escape(text)
	}
	request := httptest.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	request.Header.Set("Accept", "application/fhir+json")
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	recorder := httptest.NewRecorder()
	c.handler.ServeHTTP(recorder, request)
	var b responseBody
	if err := json.Unmarshal(recorder.Body.Bytes(), &b); err != nil {
		return Answer{}, fmt.Errorf("%d: %w", recorder.Code, err)
	}
	if contentType := recorder.Header().Get("Content-Type"); !strings.HasPrefix(contentType, "application/fhir+json") {
		return Answer{}, fmt.Errorf("the response has Content-Type %q", contentType)
	}
	switch failed := recorder.Code >= 400; {
	case failed != (b.ResourceType == "OperationOutcome"), !failed && recorder.Code != http.StatusOK:
		return Answer{}, fmt.Errorf("the response has status %d and a %s", recorder.Code, b.ResourceType)
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
		return a, fmt.Errorf("the Bundle has type %s", b.Type)
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
			return a, fmt.Errorf("the entry %s has mode %q", name, e.Search.Mode)
		}
		if e.FullURL != Base+"/"+name {
			return a, fmt.Errorf("the entry %s has fullUrl %q", name, e.FullURL)
		}
	}
	return a, nil
}

// Search reads a search page by page and returns the ids of all matches, sorted. Each
// page except the last must have count matches, and the total must be the number of all
// matches. If the search is refused, the error is fhir.Issues.
func (c *Client) Search(ctx context.Context, text string, count int) ([]string, error) {
	var ids []string
	for url := fmt.Sprintf("%s&_count=%d", text, count); ; {
		a, err := c.Get(ctx, url)
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
				return ids, fmt.Errorf("the total is %d, the pages contain %d", a.Total, len(ids))
			}
			slices.Sort(ids)
			return ids, nil
		}
		url = a.Next
	}
}

// escape percent-encodes the characters that a URL must not contain. It leaves escapes
// unchanged.
func escape(text string) string {
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
