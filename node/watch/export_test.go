package watch

// SearchesInVain is how many searches by keys the stream gave up.
func (s *Stream) SearchesInVain() int { return s.searchesInVain }
