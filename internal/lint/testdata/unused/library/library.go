package library

import "fmt"

// Used by different sides.
func ByPackage()    {}
func ByOther()      {}
func ByOtherTests() {}
func ByTag()        {}
func Mentioned()    {}

func ByItself()   { ByItself() }
func ByOwnTests() {}

var use = ByPackage

// AloneType is named by its receivers only.
type AloneType struct{}

func (a *AloneType) AloneMethod() {}

// String satisfies fmt.Stringer.
func (a *AloneType) String() string { return "" }

// List is a list of values, of which one is used.
type List uint8

const (
	ListUsed List = iota
	ListOther
)

const (
	ListAlone List = 9
)

// Fields are used in different ways.
type Fields struct {
	ByName int
	Tagged int `json:"tagged"`

	Reserved int
	Alone    int
}

// ByPlace is filled without names.
type ByPlace struct{ First, Second int }

type Options struct {
	Set      bool
	OnlyRead bool
}

// Interface has a method that is called, and one that is not.
type Interface interface {
	Called()
	Never()
}

func read(o Options, f Fields, i Interface) string {
	i.Called()
	return fmt.Sprint(o.Set, o.OnlyRead, ByPlace{1, 2}, f.ByName)
}

var reader = read
