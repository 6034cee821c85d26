package library

var _ = Options{OnlyRead: true}

func init() { ByOwnTests() }
