package store

// Len is ‸
func (s *Store) Len() int {
	return len(s.items)
}
