[
  (class_declaration name: (_) @name)
  (constructor_declaration name: (_) @name)
  (delegate_declaration name: (_) @name)
  (destructor_declaration name: (_) @name)
  (enum_declaration name: (_) @name)
  (enum_member_declaration name: (_) @name)
  (event_declaration name: (_) @name)
  (file_scoped_namespace_declaration name: (_) @name)
  (interface_declaration name: (_) @name)
  (local_function_statement name: (_) @name)
  (method_declaration name: (_) @name)
  (namespace_declaration name: (_) @name)
  (property_declaration name: (_) @name)
  (record_declaration name: (_) @name)
  (struct_declaration name: (_) @name)
] @symbol

(field_declaration
  (variable_declaration
    (variable_declarator name: (identifier) @name))) @symbol

(event_field_declaration
  (variable_declaration
    (variable_declarator name: (identifier) @name))) @symbol
