// Package user holds the users of a service.
package user

import "errors"

// User is someone who may log in.
type User struct {
	ID    int
	Name  string
	Email string
}

// Store holds users by their identifiers.
type Store struct {
	users map[int]User
}

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{users: make(map[int]User)}
}

// Get returns the user with the given identifier.
func (s *Store) Get(id int) (User, error) {
	user, ok := s.users[id]
	if !ok {
		return User{}, errors.New("no such user")
	}
	return user, nil
}

// Delete removes the user with the given identifier.
func (s *Store) Delete(id int) error {
	_, ok := s.users[id]
	if !ok {
		return errors.New("no such user")
	}
	delete(s.users, id)
	return nil
}
