package main

import "example/library"

func init() { library.ByOtherTests() }
