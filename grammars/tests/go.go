// Package cache keeps answers for a while.
package cache
// <- statement

import (
// <- import ... )
// <- statement ... )
	"fmt"
	"time"
)

const limit = 64
// <- statement
//    ^ symbol
//    ^^^^^ name

var (
// <- statement ... )
	hits, misses int
	// <- symbol
	//    ^^^^^^ name
)

// Entry is one answer.
type Entry struct {
// <- symbol ... }
//   ^^^^^ name
//                ^ block ... }
	Text  string
	// <- statement
	// <- symbol
	Until time.Time `json:"until"`
	// <- statement
}

type Store interface {
// <- statement ... }
//   ^^^^^ name
	Get(key string) (*Entry, bool)
	// <- statement
	// <- symbol
}

func (c *Cache) Get(key string) (entry *Entry, err error) {
// <- symbol ... }
//              ^^^ name
//                                                        ^ block ... }
	if found, ok := c.entries[key]; ok {
	// <- statement ... }
	// ^ !statement
	//                                 ^ block ... }
		return found, nil
		// <- statement
	} else if limit > 10 {
	//     ^ statement ... }
	//                   ^ block ... }
		delete(c.entries, key)
		// <- statement
	}
	for i := 0; i < limit; i++ {
	// <- statement ... }
	//  ^ !statement
	//                     ^ !statement
	//                         ^ block ... }
		c.drop(i)
		// <- statement
	}
	switch {
	// <- statement ... }
	case err == nil:
	// <- statement ... hits, misses = 0, misses+1
		misses++
		// <- block ... hits, misses = 0, misses+1
		// <- statement
		hits, misses = 0, misses+1
		// <- statement
	default:
		go func() { c.fill(key) }()
		// <- block
		// <- statement
		//        ^ block
		//          ^ statement
	}
	select {
	case entry = <-c.filled:
	// <- statement ... defer close(c.filled)
		defer close(c.filled)
		// <- block
		// <- statement
	case <-time.After(time.Second):
		var timeout = &Entry{Until: time.Now()}
		// <- block ... return timeout, fmt.Errorf("no %q", key)
		// <- statement
		return timeout, fmt.Errorf("no %q", key)
	}
	return
	// <- statement
}

func Map[T, U any](items []T, by func(T) U) (mapped []U) {
// <- statement ... }
//   ^^^ name
	for _, item := range items {
	// <- statement ... }
		mapped = append(mapped, by(item))
		// <- statement
	}
	return mapped
}
