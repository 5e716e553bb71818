; A body between its head and `end`, without either.
(block) @block
