[
  (class_definition name: (_) @name)
  (enum_definition name: (_) @name)
  (full_enum_case name: (_) @name)
  (function_declaration name: (_) @name)
  (function_definition name: (_) @name)
  (given_definition name: (_) @name)
  (object_definition name: (_) @name)
  (package_object name: (_) @name)
  (simple_enum_case name: (_) @name)
  (trait_definition name: (_) @name)
  (type_definition name: (_) @name)
  (val_declaration name: (_) @name)
  (var_declaration name: (_) @name)
] @symbol

(val_definition pattern: (identifier) @name) @symbol

(var_definition pattern: (identifier) @name) @symbol
