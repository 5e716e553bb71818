; Unanchored, so that statements are still found inside an ERROR node, where the cursor often is.
[
  (assert_statement)
  (break_statement)
  (continue_statement)
  (delete_statement)
  (exec_statement)
  (expression_statement)
  (future_import_statement)
  (global_statement)
  (import_from_statement)
  (import_statement)
  (nonlocal_statement)
  (pass_statement)
  (print_statement)
  (raise_statement)
  (return_statement)
  (type_alias_statement)
] @statement

[
  (class_definition)
  (decorated_definition)
  (for_statement)
  (function_definition)
  (if_statement)
  (match_statement)
  (try_statement)
  (while_statement)
  (with_statement)
] @statement

(case_clause) @statement
