package library_test

import "example/library"

var _ = library.Options{OnlyRead: true}

func init() { library.ByOwnTests() }
