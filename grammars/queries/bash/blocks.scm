; Braces, or `do` and `done`, included.
[
  (compound_statement)
  (do_group)
  (subshell)
] @block

; These have no node for the body alone.
[
  (case_item)
  (elif_clause)
  (else_clause)
  (if_statement)
] @block
