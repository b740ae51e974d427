// Package blob keeps the bytes of output files under names: a folder on the
// local disk today.
//
// A blob is written once, from start to end, and appears under its name in one
// step when its writer commits; readers never see half of it. Names look like
// "job/1-7.ndjson.gz": segments of letters, digits, dots, hyphens and underscores
// joined by slashes. Any other name is refused, so none can lead out of the folder.
//
// # Whose the folder is
//
// A folder carries the mark of one owner ([Folder.Claim]): who removes what nobody names must
// know that nobody else names it. The mark is a file in the folder itself, and no blob. Copies
// of one owner have its mark too, so who serves a folder tells others that it is used
// ([Folder.Use]).
//
// # When things fail
//
// A writer that is aborted, or whose process dies, leaves at most a leftover:
// a name that ends in ".tmp" and a number, which Open does not find. List shows
// leftovers too and Remove removes them, so the janitor that clears blobs without
// an owner clears them as well. After Commit returned nil the blob survives a
// power cut: file and folders are synced. A blob that is removed while it is
// read can be read to its end (RE-12).
//
// What the disk does not let happen, for it is full or read-only, comes back as a
// *oserror.Error, which names the folder and the way out.
//
// A folder that is removed or moved away while the program runs is noticed with the
// next call. Create makes it anew, a blob that was being written does not commit, and
// opening a blob fails with another error than ErrNotFound as long as the folder is gone.
package blob
