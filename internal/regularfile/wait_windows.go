package regularfile

// doNotWait is a flag with which opening a named pipe does not wait for its other end. The file
// systems of Windows hold no pipes.
const doNotWait = 0

// noLinks is a flag with which opening a symbolic link is an error. On Windows only the look before
// finds a link.
const noLinks = 0
