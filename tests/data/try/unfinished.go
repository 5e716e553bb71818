// Package store keeps values by name, in memory and in a file. Its last function is not finished.
package store

import (
	"encoding/json"
	"errors"
	"os"
)

// Store holds values by their names.
type Store struct {
	values map[string]string
}

// Get returns the value of this name.
func (s *Store) Get(name string) (string, error) {
	value, ok := s.values[name]
	if !ok {
		return "", errors.New("no such value")
	}
	return value, nil
}

// Load reads all values from a file.
func (s *Store) Load(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &s.values); err != nil {
		return err
	}
	return nil
}

// Save writes all values to a file.
func (s *Store) Save(path string) error {
	data, err := json.Marshal(s.values)
	if err != nil {
		return err
	}
	err = os.WriteFile(path, data, 0o600)
	if err != nil {
		return err
	}
	
}
