; Braces included. The branches of `switch` and `select` have no braces: theirs is the list of
; statements after the colon.
[
  (block)
  (field_declaration_list)
] @block

(communication_case (statement_list) @block)
(default_case (statement_list) @block)
(expression_case (statement_list) @block)
(type_case (statement_list) @block)
