; Unanchored where a node can only be a statement, so that it is still found in an ERROR node.
[
  (break_statement)
  (const_declaration)
  (continue_statement)
  (defer_statement)
  (expression_switch_statement)
  (fallthrough_statement)
  (for_statement)
  (function_declaration)
  (go_statement)
  (goto_statement)
  (if_statement)
  (import_declaration)
  (labeled_statement)
  (method_declaration)
  (package_clause)
  (return_statement)
  (select_statement)
  (type_declaration)
  (type_switch_statement)
  (var_declaration)
] @statement

; Simple statements also stand in the heads of `if`, `for` and `switch`.
(statement_list (_simple_statement) @statement)
(ERROR (_simple_statement) @statement)

; Branches and members.
[
  (communication_case)
  (default_case)
  (expression_case)
  (field_declaration)
  (method_elem)
  (type_case)
] @statement
