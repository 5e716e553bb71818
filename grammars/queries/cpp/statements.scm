; inherits: c

[
  (alias_declaration)
  (co_return_statement)
  (co_yield_statement)
  (concept_definition)
  (for_range_loop)
  (friend_declaration)
  (namespace_alias_definition)
  (namespace_definition)
  (static_assert_declaration)
  (template_declaration)
  (template_instantiation)
  (throw_statement)
  (try_statement)
  (using_declaration)
] @statement

; A constructor or a conversion is declared without a type, as a plain declaration.
(field_declaration_list (declaration) @statement)

(translation_unit (class_specifier) @statement)
(declaration_list (class_specifier) @statement)
(compound_statement (class_specifier) @statement)
