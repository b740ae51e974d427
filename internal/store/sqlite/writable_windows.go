package sqlite

import "os"

// writable reports whether this process may create files in a folder. Windows has no access(2):
// it creates a file and removes it.
func writable(dir string) bool {
	f, err := os.CreateTemp(dir, "writable")
	if err != nil {
		return false
	}
	_ = f.Close()
	return os.Remove(f.Name()) == nil
}
