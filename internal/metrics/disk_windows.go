package metrics

import "golang.org/x/sys/windows"

// freeBytes returns the bytes that this user can still write to the disk of a folder.
func freeBytes(folder string) (free uint64, err error) {
	name, err := windows.UTF16PtrFromString(folder)
	if err != nil {
		return 0, err
	}
	err = windows.GetDiskFreeSpaceEx(name, &free, nil, nil)
	return free, err
}
