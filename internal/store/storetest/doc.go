// Package storetest is the suite that every driver of package store passes: what
// [Directory] and [Jobs] ask, in tests that know no database.
//
// The moments are tested by barriers at fault points, never by waiting; random
// directories and random plans are held against a naive evaluator that is written
// over the same index entries and shares nothing with the drivers.
package storetest
