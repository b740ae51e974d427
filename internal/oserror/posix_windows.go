package oserror

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// posix returns the POSIX number of an error of the operating system.
func posix(number syscall.Errno) syscall.Errno {
	switch number {
	case windows.ERROR_TOO_MANY_OPEN_FILES:
		return syscall.EMFILE
	case windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL:
		return syscall.ENOSPC
	case windows.ERROR_DISK_QUOTA_EXCEEDED:
		return syscall.EDQUOT
	case windows.ERROR_WRITE_PROTECT:
		return syscall.EROFS
	case windows.ERROR_ACCESS_DENIED:
		return syscall.EACCES
	case windows.ERROR_CRC, windows.ERROR_IO_DEVICE:
		return syscall.EIO
	}
	return number
}
