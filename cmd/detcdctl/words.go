package main

import (
	"fmt"
	"regexp"
)

// word is one argument of a line: "double quoted" with Go's escapes, 'single quoted' to the letter, or anything up to a space. A quote inside a
// word does not begin a new one.
var word = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'[^']*'|[^'"\s]\S*[^'"\s]?`)

// words splits a line of txn or watch, read from standard input, into arguments.
func words(line string) ([]string, error) {
	found := word.FindAllString(line, -1)
	for i, w := range found {
		switch w[0] {
		case '\'':
			found[i] = w[1 : len(w)-1]
		case '"':
			if _, err := fmt.Sscanf(w, "%q", &found[i]); err != nil {
				return nil, failure{exitInvalidInput, err}
			}
		}
	}
	return found, nil
}
