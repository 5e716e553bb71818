; What JavaScript, TypeScript and TSX have in common; braces included.
[
  (class_body)
  (statement_block)
  (switch_body)
] @block
