// Package blob stores the bytes of output files under names, in a folder on the local
// disk.
//
// A blob is written once, from start to end, and becomes visible under its name
// atomically when its writer commits. Names look like "job/1-7.ndjson.gz": segments of
// letters, digits, dots, hyphens and underscores joined by slashes. Any other name is
// rejected, so no name can point outside of the folder.
//
// # Ownership
//
// A folder has at most one owner ([Folder.Claim]): the janitor may remove a file that its
// directory does not name only if no other directory uses the folder. The owner is
// recorded in a file in the folder, which is not a blob. Copies of a directory have the
// same owner id, so a server also holds a lock on the folder that it uses ([Folder.Use]).
//
// # When things fail
//
// A writer that is aborted, or whose process is killed, leaves at most a temporary file:
// its name ends in ".tmp" and a number, and Open does not find it. List includes
// temporary files and Remove removes them, so the janitor removes them like any other
// orphaned blob. After Commit has returned nil the blob survives a power failure: the
// file and its folders are synced. An open blob that is removed can be read to its end
// (RE-12).
//
// An error of a disk that is full or read-only is returned as *oserror.Error, which names
// the folder and says what to do.
//
// The next call detects that the folder was removed or moved away while the program runs.
// Create creates the folder again, a blob that was being written does not commit, and
// opening a blob fails with an error other than ErrNotFound as long as the folder is
// missing.
package blob
