// Package planted says which bug a build of TestPlantedBugs runs with. Nothing else imports it: the
// bugs are changes to the source that the test makes on the way to the compiler, so production code
// knows nothing of them.
package planted

// Name of the bug that is there now; empty: none.
var Name string

// Is tells whether the bug of this name is there now.
func Is(name string) bool { return Name == name }
