; Definitions. Unanchored, so that they are still found inside an ERROR node.
[
  (case_clause)
  (class_definition)
  (enum_case_definitions)
  (enum_definition)
  (export_declaration)
  (extension_definition)
  (function_declaration)
  (function_definition)
  (given_definition)
  (import_declaration)
  (object_definition)
  (package_clause)
  (package_object)
  (trait_definition)
  (type_definition)
  (val_declaration)
  (val_definition)
  (var_declaration)
  (var_definition)
] @statement

; An expression is a statement where it stands directly in a body.
(compilation_unit [(do_while_expression) (expression)] @statement)
(block [(do_while_expression) (expression)] @statement)
(case_clause body: [(do_while_expression) (expression)] @statement)
(indented_block [(do_while_expression) (expression)] @statement)
(template_body [(do_while_expression) (expression)] @statement)
