package server

// The defaults of [Limits]. The options of muster serve use them too.
const (
	DefaultMaxBody       = 1 << 20  // bytes
	DefaultMaxHeader     = 32 << 10 // bytes
	DefaultMaxURL        = 16 << 10 // bytes
	DefaultMaxParameters = 200
	DefaultRate          = 100 // requests per second
	DefaultDownloads     = 16
	DefaultSearches      = 4
	DefaultConnections   = 1024
	DefaultMemory        = 64 << 20 // bytes

	DefaultClientConnections = 64
	DefaultClientMemory      = 16 << 20 // bytes
)
