; The body between a head and its `end` or between braces, without either. Some start earlier,
; because this grammar has no smaller node: `then` at the end of the line before, `begin`, `else`,
; `ensure` and the `do` of a loop at the keyword.
[
  (begin)
  (block_body)
  (body_statement)
  (do)
  (else)
  (ensure)
  (then)
] @block

; The branches of a `case` have no node of their own.
[
  (case)
  (case_match)
] @block
