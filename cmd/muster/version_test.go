package main

import (
	"runtime/debug"
	"testing"
)

// TestBuild checks the version with and without a version that was set at link time.
func TestBuild(t *testing.T) {
	settings := []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-11-30T01:02:03Z"}, {Key: "vcs.modified", Value: "true"}}
	for _, test := range []struct {
		linked string
		info   debug.BuildInfo
		want   build
	}{
		{"", debug.BuildInfo{}, build{version: "devel"}},
		{"", debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, build{version: "devel"}},
		{"", debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: settings}, build{version: "v1.2.3", revision: "abc", committed: "2026-11-30T01:02:03Z", modified: true}},
		{"v1.2.4", debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: settings[:2]}, build{version: "v1.2.4", revision: "abc", committed: "2026-11-30T01:02:03Z"}},
	} {
		if got := buildOf(test.linked, &test.info); got != test.want {
			t.Errorf("buildOf(%q, %+v) = %+v, want %+v", test.linked, test.info, got, test.want)
		}
	}
}

// TestFullVersion checks the version that clients and metrics get.
func TestFullVersion(t *testing.T) {
	for want, b := range map[string]build{
		"devel":                          {version: "devel"},
		"v1.2.3 (0123456789ab)":          {version: "v1.2.3", revision: "0123456789abcdef"},
		"devel (0123456789ab, modified)": {version: "devel", revision: "0123456789abcdef", modified: true},
	} {
		if got := b.full(); got != want {
			t.Errorf("%+v: %q, want %q", b, got, want)
		}
	}
}
