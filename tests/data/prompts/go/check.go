package store

import "fmt"

func (s *Store) Open(name string) error {
	file, err := os.Open(name)
	if err != nil {
		‸
	}
	s.file = file
	return nil
}
