package failpoint

const canPause = false // Windows has no SIGSTOP

func pause() {}
