[
  (annotation_type_declaration name: (_) @name)
  (annotation_type_element_declaration name: (_) @name)
  (class_declaration name: (_) @name)
  (compact_constructor_declaration name: (_) @name)
  (constructor_declaration name: (_) @name)
  (enum_constant name: (_) @name)
  (enum_declaration name: (_) @name)
  (interface_declaration name: (_) @name)
  (method_declaration name: (_) @name)
  (module_declaration name: (_) @name)
  (record_declaration name: (_) @name)
] @symbol

(field_declaration
  declarator: (variable_declarator name: (identifier) @name)) @symbol

(constant_declaration
  declarator: (variable_declarator name: (identifier) @name)) @symbol
