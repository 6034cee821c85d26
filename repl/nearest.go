package repl

import "strings"

// nearest returns the name that text was probably meant to be, or "" if none is near: the one whose
// beginning it is, or else the one that takes the fewest changes of a character.
func nearest(text string, names []string) string {
	const changesMax, bytesMax = 2, 64
	if len(text) > bytesMax || len(text) < 2 {
		return ""
	}
	text = strings.ToLower(text)
	for _, name := range names {
		if strings.HasPrefix(name, text) {
			return name
		}
	}
	best, changesMin := "", changesMax+1
	for _, name := range names {
		if changes := distance(text, name); changes < changesMin && changes < len(name)/2 {
			best, changesMin = name, changes
		}
	}
	return best
}

// distance counts the insertions, deletions and replacements that make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
