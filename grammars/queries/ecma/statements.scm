; What JavaScript, TypeScript and TSX have in common. Unanchored where a node can only be a
; statement, so that it is still found inside an ERROR node, where the cursor often is.
[
  (break_statement)
  (class_declaration)
  (class_static_block)
  (continue_statement)
  (debugger_statement)
  (do_statement)
  (export_statement)
  (expression_statement)
  (for_in_statement)
  (for_statement)
  (function_declaration)
  (generator_function_declaration)
  (if_statement)
  (import_statement)
  (labeled_statement)
  (return_statement)
  (switch_case)
  (switch_default)
  (switch_statement)
  (throw_statement)
  (try_statement)
  (while_statement)
  (with_statement)
] @statement

(class_body (method_definition) @statement)

; A declaration is also the head of a `for`, which is no statement.
(program [(lexical_declaration) (variable_declaration)] @statement)
(statement_block [(lexical_declaration) (variable_declaration)] @statement)
(switch_case [(lexical_declaration) (variable_declaration)] @statement)
(switch_default [(lexical_declaration) (variable_declaration)] @statement)
(ERROR [(lexical_declaration) (variable_declaration)] @statement)
