package blob

import "os"

// openForReading are the flags with which blobs are opened.
const openForReading = os.O_RDONLY
