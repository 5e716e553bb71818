[
  (break_statement)
  (do_statement)
  (for_statement)
  (function_declaration)
  (goto_statement)
  (if_statement)
  (label_statement)
  (repeat_statement)
  (return_statement)
  (variable_declaration)
  (while_statement)
] @statement

; What is also part of another node is a statement only in a body.
(chunk [(assignment_statement) (function_call)] @statement)
(block [(assignment_statement) (function_call)] @statement)
(ERROR [(assignment_statement) (function_call)] @statement)
