//go:build never

package library

import "example/library"

func init() { library.ByTag() }
