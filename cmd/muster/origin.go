package main

import (
	"errors"
	"net/url"
	"strings"
)

// webOrigin is an option that names the origin of web pages, or "*" for all.
type webOrigin string

// UnmarshalText implements [encoding.TextUnmarshaler].
func (o *webOrigin) UnmarshalText(text []byte) error {
	u, err := url.Parse(string(text))
	if string(text) != "*" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Scheme+"://"+u.Host != string(text) || strings.ToLower(u.Host) != u.Host) {
		return errors.New("write an origin as browsers send it, such as https://console.example.org without a path, or *")
	}
	*o = webOrigin(text)
	return nil
}

// origins returns the origins of web pages that may use the API.
func (c *serveCmd) origins() (all []string) {
	for _, o := range c.CORSOrigin {
		all = append(all, string(o))
	}
	return all
}
