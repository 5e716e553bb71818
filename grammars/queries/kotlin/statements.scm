; Unanchored where a node can only be a statement, so that it is still found in an ERROR node.
[
  (anonymous_initializer)
  (class_declaration)
  (companion_object)
  (enum_entry)
  (file_annotation)
  (function_declaration)
  (getter)
  (import)
  (object_declaration)
  (package_header)
  (property_declaration)
  (secondary_constructor)
  (setter)
  (type_alias)
  (when_entry)
] @statement

; The rest are expressions: statements where they stand directly in a body.
(source_file (statement) @statement)
(block (statement) @statement)
(lambda_literal (statement) @statement)
(ERROR [(assignment) (do_while_statement) (for_statement) (while_statement)] @statement)
