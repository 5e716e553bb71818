; Everything is an expression: a statement is what stands directly in a body.
(program (_statement) @statement)
(begin (_statement) @statement)
(begin_block (_statement) @statement)
(block_body (_statement) @statement)
(body_statement (_statement) @statement)
(do (_statement) @statement)
(else (_statement) @statement)
(end_block (_statement) @statement)
(ensure (_statement) @statement)
(then (_statement) @statement)
(ERROR (_statement) @statement)

; Branches.
[
  (in_clause)
  (rescue)
  (when)
] @statement
