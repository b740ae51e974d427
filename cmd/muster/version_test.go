package main

import (
	"runtime/debug"
	"testing"
)

// TestBuild checks the version with and without a version that was set at link time.
func TestBuild(t *testing.T) {
	settings := []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}}
	for _, test := range []struct {
		linked string
		info   debug.BuildInfo
		want   build
	}{
		{"", debug.BuildInfo{}, build{version: "devel"}},
		{"", debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, build{version: "devel"}},
		{"", debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: settings}, build{version: "v1.2.3", revision: "abc", modified: true}},
		{"v1.2.4", debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: settings[:1]}, build{version: "v1.2.4", revision: "abc"}},
	} {
		if got := buildOf(test.linked, &test.info); got != test.want {
			t.Errorf("buildOf(%q, %+v) = %+v, want %+v", test.linked, test.info, got, test.want)
		}
	}
}
