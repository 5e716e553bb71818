; Items and statements. Unanchored, so that they are still found inside an ERROR node.
[
  (associated_type)
  (attribute_item)
  (const_item)
  (enum_item)
  (expression_statement)
  (extern_crate_declaration)
  (foreign_mod_item)
  (function_item)
  (function_signature_item)
  (impl_item)
  (inner_attribute_item)
  (let_declaration)
  (macro_definition)
  (mod_item)
  (static_item)
  (struct_item)
  (trait_item)
  (type_item)
  (union_item)
  (use_declaration)
] @statement

; A macro called in the place of an item has no statement around it.
(source_file (macro_invocation) @statement)
(declaration_list (macro_invocation) @statement)

; The value of a block: its last expression, without a semicolon.
(block (_expression) @statement .)

; Members and arms.
[
  (enum_variant)
  (field_declaration)
  (match_arm)
] @statement
