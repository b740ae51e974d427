// Package rulestest is a small model of the rules of a directory: what clients see of each
// resource, and what deltas hold. Tests compare a directory with it.
//
// The model shares no code with muster and no idea with its implementation. A resource is a JSON
// object as its source wrote it. A [World] holds these objects, and the last object of each
// resource that was removed. [World.View] computes from them, always from the beginning, the state
// of every resource and the document that a directory serves. A [History] is a sequence of worlds;
// what a delta holds follows from comparing successive views. There is no index, no cascade and no
// bookkeeping, so the model is slow, but short enough to compare with the guide line by line.
//
// # Rules
//
//   - The own state of a resource is what its own document says (state.go).
//   - Organizations and Practitioners suppress and deactivate what belongs to them, and an Endpoint
//     follows what refers to it (inherit.go).
//   - The document that is served shows what a resource has inherited (document.go).
//   - A client finds visible resources. A Provenance is visible if all that it is about is (view.go).
//   - A delta holds what has a new version, and the names of what was removed (history.go).
//   - A line that was served can be loaded again (reload.go).
//   - A client that follows deltas has what a full export holds (copy.go).
//
// # Tests
//
// [Generator] draws random steps for a small directory in which resources depend on each other in
// every way that the rules know. [ParseScript] reads steps and expectations that are written by
// hand; docs/rules.md and tests/rules contain such scripts. Package compare performs the steps on a
// real store.
package rulestest
