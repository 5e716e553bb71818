; Unanchored where a node can only be a statement, so that it is still found in an ERROR node.
[
  (assert_statement)
  (break_statement)
  (continue_statement)
  (do_statement)
  (enhanced_for_statement)
  (explicit_constructor_invocation)
  (expression_statement)
  (for_statement)
  (if_statement)
  (labeled_statement)
  (return_statement)
  (switch_block_statement_group)
  (switch_rule)
  (synchronized_statement)
  (throw_statement)
  (try_statement)
  (try_with_resources_statement)
  (while_statement)
  (yield_statement)
] @statement

; A declaration is also the head of a `for`, which is no statement.
(block (local_variable_declaration) @statement)
(constructor_body (local_variable_declaration) @statement)
(switch_block_statement_group (local_variable_declaration) @statement)
(ERROR (local_variable_declaration) @statement)

; Declarations and members.
[
  (annotation_type_declaration)
  (annotation_type_element_declaration)
  (class_declaration)
  (compact_constructor_declaration)
  (constant_declaration)
  (constructor_declaration)
  (enum_constant)
  (enum_declaration)
  (field_declaration)
  (import_declaration)
  (interface_declaration)
  (method_declaration)
  (module_declaration)
  (package_declaration)
  (record_declaration)
  (static_initializer)
] @statement

; A switch is an expression to this grammar; as a statement it has no semicolon.
(block (switch_expression) @statement)
