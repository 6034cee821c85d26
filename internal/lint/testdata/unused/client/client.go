package client

// Public has its users elsewhere.
func Public() {}
