; Braces included.
[
  (block)
  (class_body)
  (enum_class_body)
  (lambda_literal)
] @block

; `when` has no node for its branches alone.
(when_expression) @block
