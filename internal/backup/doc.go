// Package backup copies a directory while it is served: resources, jobs and files
// of one moment, so that the copy is whole and a server on it goes on where the
// directory was.
//
// # The order of things
//
//   - The driver takes the write gate for an instant, opens a snapshot of resources
//     and jobs, and leaves ([Source.Freeze]). Inside the gate no batch is half done,
//     no transaction time is drawn and no old version is dropped, so every job of
//     the snapshot finds in it what it needs.
//   - The files that its parts name are linked, or copied where links cannot be.
//     They never change; but their job may be cancelled or expire meanwhile, and
//     then they go. In that case the snapshot is given up and a new one is taken,
//     which does not know the job any more; files that are copied stay.
//   - The driver writes the snapshot into the copy ([Frozen.Write]). Writers go on;
//     only the log of the database grows until it is done.
//   - The copy becomes the owner of its folder of files: the copy of a data directory is
//     another owner than the directory, so neither is served on the folder of the other.
//   - Everything is synced, and the copy gets its name. What has the name is whole.
//
// # When things fail
//
// A backup that fails or is interrupted removes what it wrote. One whose process
// dies leaves a folder with ".partial-" in its name, which can be removed by hand.
// A file that is lost in the directory itself cannot be copied: the copy is then as
// damaged as the directory, and [Summary.Lost] says so.
package backup
