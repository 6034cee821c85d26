package main

import "example/library"

type command struct{}

func (command) Run() {}

func main() {
	library.ByOther()
	_ = library.ListUsed
	_ = library.Options{Set: true}
	_ = library.Fields{}
}
